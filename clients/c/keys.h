/* Keys for a daemon that asks for them (docs/keys.md): a folder with client.key and server.pub. */
#ifndef SCANSIDE_KEYS_H
#define SCANSIDE_KEYS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <zmq.h>

#define KEY_LETTERS 40
#define KEY_EVENTS                                                                                 \
    (ZMQ_EVENT_HANDSHAKE_FAILED_AUTH | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |                       \
     ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL)
#define CLOSED_WITHOUT_A_WORD 3

/* The line `name = "KEY"` of a key file; a secret one must be for its owner alone. */
static bool read_key(const char *folder, const char *file, const char *name,
                     char key[KEY_LETTERS + 1])
{
    char path[1024], line[256];
    struct stat status;
    bool found = false, secret = strcmp(name, "secret-key") == 0;
    int size = snprintf(path, sizeof path, "%s/%s", folder, file);
    FILE *in = size > 0 && (size_t)size < sizeof path ? fopen(path, "r") : NULL;
    if (in == NULL)
        return false;
    if (fstat(fileno(in), &status) == 0 && !(secret && (status.st_mode & 077) != 0))
        while (!found && fgets(line, sizeof line, in) != NULL) {
            char *at = line + strspn(line, " \t"), *open = strchr(at, '"');
            if (strncmp(at, name, strlen(name)) != 0 || open == NULL)
                continue;
            char *end = strchr(open + 1, '"');
            found = end != NULL && end - open - 1 == KEY_LETTERS;
            if (found) {
                memcpy(key, open + 1, KEY_LETTERS);
                key[KEY_LETTERS] = 0;
            }
        }
    fclose(in);
    return found;
}

/* Have `dealer`, not connected yet, talk to the daemon that has the server key, and to no other. */
static bool take_keys(void *dealer, const char *folder)
{
    char server[KEY_LETTERS + 1], public[KEY_LETTERS + 1], secret[KEY_LETTERS + 1];
    return read_key(folder, "server.pub", "public-key", server) &&
           read_key(folder, "client.key", "public-key", public) &&
           read_key(folder, "client.key", "secret-key", secret) &&
           zmq_setsockopt(dealer, ZMQ_CURVE_SERVERKEY, server, sizeof server) == 0 &&
           zmq_setsockopt(dealer, ZMQ_CURVE_PUBLICKEY, public, sizeof public) == 0 &&
           zmq_setsockopt(dealer, ZMQ_CURVE_SECRETKEY, secret, sizeof secret) == 0;
}

/* Why there will be no session, by an event of the monitor: libzmq itself would try for ever. */
static const char *misfit(uint16_t event, uint32_t value, bool have_keys)
{
    static int closed;
    if (event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)
        return "the daemon does not let this key in";
    if (event == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL &&
        value == ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH)
        return have_keys ? "it uses no keys" : "the daemon asks for keys";
    if ((event & KEY_EVENTS) != 0 && have_keys && ++closed == CLOSED_WITHOUT_A_WORD)
        return "server.pub is not the daemon's key, or it uses no keys";
    return NULL;
}

/* Whether `monitor` told since the last call that the connection was cut. `why` is set where it
 * told that the keys do not fit. */
static bool was_cut(void *monitor, bool have_keys, const char **why)
{
    bool cut = false;
    uint8_t told[6]; /* an event and its value; the part after it says where */
    while (zmq_recv(monitor, told, sizeof told, ZMQ_DONTWAIT) == sizeof told) {
        uint16_t event;
        uint32_t value;
        memcpy(&event, told, sizeof event), memcpy(&value, told + sizeof event, sizeof value);
        const char *its = misfit(event, value, have_keys);
        *why = its != NULL ? its : *why;
        cut = cut || event == ZMQ_EVENT_DISCONNECTED;
        zmq_recv(monitor, NULL, 0, ZMQ_DONTWAIT);
    }
    return cut;
}

#endif
