/* One session with a daemon: wire version 1 (docs/wire-v1.md) on libzmq. For one file to include.
 *
 * Fill `want`, give each slot room for an original, greet(). While may_take(), fill the next slot's
 * original and send_frame(); else wait_until(): it settles slots, to be given back in order by
 * counting `written`. Whatever happens, every frame gets an outcome; once the session is `lost`
 * there is no other, and nothing is ever sent twice. */
#ifndef SCANSIDE_SESSION_H
#define SCANSIDE_SESSION_H

#include <stdio.h>
#include <time.h>
#include <zmq.h>

#include "keys.h"
#include "msgpack.h"

#define PIXELS_LIMIT ((uint64_t)64 << 20)
#define MAX_WINDOW 16
#define MAX_SCALE 2
#define WORD 2 /* bytes */

static const char *const BYPASSED[] = {"late", "superseded", "engine error", "guard", "not ready",
                                       "draining", NULL};
static const char *const REFUSED[] = {"malformed", "over credit", "too large", "wrong modality",
                                      "duplicate", NULL};
static const char *const ERRORS[] = {"unreadable", "no session", "no common version", "busy", NULL};

typedef struct {
    const char *outcome; /* NULL while the daemon has it */
    const char *reason;
    uint64_t scale;
    uint8_t *original;
    zmq_msg_t pixels; /* what came with the RESULT, if `outcome` is "enhanced" */
} slot;

static struct {
    const char *url, *dtype, *modality, *keys; /* keys: their folder; NULL: none */
    uint64_t rows, columns, bits;
    double slope, intercept;
    double deadline_ms; /* below 0: none */
    double timeout_ms;  /* for WELCOME, and without a RESULT while frames wait */
} want = {.modality = "CT", .bits = 16, .slope = 1, .deadline_ms = -1, .timeout_ms = 10000};

static void *context, *dealer, *monitor;
static slot slots[MAX_WINDOW];       /* the frame `seq` has slots[seq % MAX_WINDOW] */
static uint64_t taken, written;      /* frames that came from the caller, and went back to it */
static uint64_t window;              /* frames on their way at most; 0 until WELCOME */
static double silence_ms;            /* after which the daemon ends a session */
static double heard, spoke, settled; /* when; `settled`: the last RESULT */
static const char *lost;             /* why the session is over */

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static size_t frame_bytes(void) { return want.rows * want.columns * WORD; }

static void lose(const char *why)
{
    if (lost == NULL)
        fprintf(stderr, "scanside_send: %s\n", why);
    lost = why;
    for (uint64_t seq = written; seq < taken; seq++) {
        slot *its = &slots[seq % MAX_WINDOW];
        if (its->outcome == NULL)
            its->outcome = "unanswered", its->reason = NULL;
    }
}

/* Never waits: a daemon that takes no more messages is lost. */
static void say(const pack *header, const void *pixels)
{
    bool sent = !header->full && zmq_send(dealer, header->bytes, header->size,
                                          ZMQ_DONTWAIT | (pixels ? ZMQ_SNDMORE : 0)) >= 0;
    if (sent && pixels != NULL)
        sent = zmq_send(dealer, pixels, frame_bytes(), ZMQ_DONTWAIT) >= 0;
    spoke = now_ms();
    if (!sent)
        lose(header->full ? "the header is too long" : "the daemon takes no more messages");
}

static void say_word(const char *type)
{
    pack header = {.size = 0};
    bool hello = strcmp(type, "HELLO") == 0;
    put_map(&header, hello ? 2 : 1), put_str(&header, "type"), put_str(&header, type);
    if (hello) {
        const uint8_t only_version_1[] = {0x91, 1};
        put_str(&header, "versions"), put_raw(&header, only_version_1, sizeof only_version_1);
    }
    say(&header, NULL);
}

static void say_frame(uint64_t seq, const uint8_t *pixels)
{
    pack header = {.size = 0};
    put_map(&header, 10), put_str(&header, "type"), put_str(&header, "FRAME");
    put_str(&header, "stream"), put_str(&header, "default");
    put_str(&header, "seq"), put_uint(&header, seq);
    put_str(&header, "rows"), put_uint(&header, want.rows);
    put_str(&header, "columns"), put_uint(&header, want.columns);
    put_str(&header, "dtype"), put_str(&header, want.dtype);
    put_str(&header, "facts"), put_map(&header, 7);
    put_str(&header, "modality"), put_str(&header, want.modality);
    put_str(&header, "bits_stored"), put_uint(&header, want.bits);
    put_str(&header, "signed"), put_bool(&header, strcmp(want.dtype, "int16") == 0);
    put_str(&header, "photometric"), put_str(&header, "MONOCHROME2");
    put_str(&header, "slope"), put_double(&header, want.slope);
    put_str(&header, "intercept"), put_double(&header, want.intercept);
    put_str(&header, "padding"), put_nil(&header);
    put_str(&header, "mode"), put_str(&header, "lossless");
    put_str(&header, "deadline_ms");
    want.deadline_ms >= 0 ? put_double(&header, want.deadline_ms) : put_nil(&header);
    put_str(&header, "capture_time"), put_nil(&header);
    say(&header, pixels);
}

static const char *one_of(const char *const *words, value v)
{
    while (*words != NULL && !is_text(v, *words))
        words++;
    return *words;
}

/* Whether this is the one RESULT of a frame on its way, with just the pixels that it may have. */
static bool take_result(const void *header, size_t size, zmq_msg_t *pixels, bool has_pixels)
{
    value seq = find(header, size, "seq"), outcome = find(header, size, "outcome");
    value rows = find(header, size, "rows"), columns = find(header, size, "columns");
    value scale = find(header, size, "scale"), reason = find(header, size, "reason");
    if (seq.kind != UINT || rows.kind != UINT || columns.kind != UINT || scale.kind != UINT ||
        !is_text(find(header, size, "stream"), "default") || seq.uint < written ||
        seq.uint >= taken || slots[seq.uint % MAX_WINDOW].outcome != NULL)
        return false;
    slot *its = &slots[seq.uint % MAX_WINDOW];
    if (is_text(outcome, "refused")) {
        its->reason = one_of(REFUSED, reason);
        its->outcome = its->reason && !has_pixels ? "refused" : NULL;
        return its->outcome != NULL;
    }
    if (scale.uint < 1 || scale.uint > MAX_SCALE || rows.uint != want.rows * scale.uint ||
        columns.uint != want.columns * scale.uint || !has_pixels ||
        !is_text(find(header, size, "dtype"), want.dtype) ||
        zmq_msg_size(pixels) != frame_bytes() * scale.uint * scale.uint)
        return false;
    if (is_text(outcome, "enhanced") && reason.kind == NIL) {
        zmq_msg_move(&its->pixels, pixels);
        its->scale = scale.uint;
        its->outcome = "enhanced";
    } else if (is_text(outcome, "bypassed") && scale.uint == 1) {
        its->reason = one_of(BYPASSED, reason);
        its->outcome = its->reason ? "bypassed" : NULL;
    }
    return its->outcome != NULL;
}

static bool take_welcome(const void *header, size_t size)
{
    value version = find(header, size, "version"), credit = find(header, size, "credit");
    value silence = find(header, size, "silence_s");
    silence_ms = 1e3 * (silence.kind == UINT ? (double)silence.uint : silence.real);
    window = credit.uint < MAX_WINDOW ? credit.uint : MAX_WINDOW;
    return version.kind == UINT && version.uint == 1 && credit.kind == UINT && window > 0 &&
           silence_ms > 0;
}

static void take_message(zmq_msg_t *first, zmq_msg_t *second, bool has_pixels)
{
    const void *header = zmq_msg_data(first);
    size_t size = zmq_msg_size(first);
    value type = find(header, size, "type");
    const char *error;
    heard = now_ms();
    if (is_text(type, "RESULT") && take_result(header, size, second, has_pixels))
        settled = heard;
    else if (is_text(type, "PING"))
        say_word("PONG");
    else if (is_text(type, "BYE"))
        lose("the daemon has stopped");
    else if (is_text(type, "ERROR"))
        lose((error = one_of(ERRORS, find(header, size, "code"))) ? error : "an unknown error");
    else if (is_text(type, "WELCOME") ? !take_welcome(header, size)
                                      : !is_text(type, "PONG") && !is_text(type, "STATUS"))
        lose("the daemon broke the protocol");
}

/* Everything that has come, after waiting until `until` at most for the first of it. */
static void listen_until(double until)
{
    zmq_pollitem_t both[] = {{.socket = dealer, .events = ZMQ_POLLIN},
                             {.socket = monitor, .events = ZMQ_POLLIN}};
    double wait = until - now_ms();
    zmq_poll(both, 2, !(wait > 0) ? 0 : wait < 60000 ? (long)wait + 1 : 60000);
    /* The monitor first: what was sent before the daemon went is then there to be read. */
    const char *why = NULL;
    bool gone = was_cut(monitor, want.keys != NULL, &why);
    if (why != NULL && window == 0 && lost == NULL)
        lose(why);
    while (lost == NULL) {
        zmq_msg_t parts[2], rest;
        int count = 0, more = 1;
        for (; more; count++) {
            zmq_msg_t *part = count < 2 ? &parts[count] : &rest;
            zmq_msg_init(part);
            if (zmq_msg_recv(part, dealer, ZMQ_DONTWAIT) < 0)
                break;
            more = zmq_msg_more(part);
            if (count >= 2)
                zmq_msg_close(part);
        }
        if (count == 0)
            break;
        take_message(&parts[0], &parts[1], count == 2);
        zmq_msg_close(&parts[0]);
        if (count > 1)
            zmq_msg_close(&parts[1]);
    }
    if (gone && lost == NULL)
        window ? lose("the daemon has gone") : say_word("HELLO");
}

/* Once a session is lost, frames may be taken as fast as they come: each is unanswered. */
static bool may_take(void)
{
    return lost != NULL ? taken - written < MAX_WINDOW : taken - written < window;
}

/* Send what is in the next slot's `original`. */
static void send_frame(void)
{
    slot *next = &slots[taken % MAX_WINDOW];
    next->outcome = lost != NULL ? "unanswered" : NULL;
    next->reason = NULL;
    next->scale = 1;
    if (taken == written) /* nothing waited until now */
        settled = now_ms();
    taken++;
    if (lost == NULL)
        say_frame(taken - 1, next->original);
    if (lost == NULL)
        listen_until(0);
}

/* Wait for RESULTs, but not for ever, and not past `due`; tell the daemon that we live. */
static void wait_until(double due)
{
    double patience = taken > written ? settled + want.timeout_ms : heard + silence_ms;
    double ping = (spoke > heard ? spoke : heard) + silence_ms / 2;
    double first = ping < patience ? ping : patience, now = now_ms(), before = heard;
    if (now >= patience) {
        listen_until(0); /* it may be us who did not listen */
        if (heard == before)
            lose(taken > written ? "no result came in time" : "the daemon is silent");
    } else if (now >= ping)
        say_word("PING");
    else
        listen_until(due < first ? due : first);
}

static void greet(void)
{
    int linger_ms = 100; /* for BYE to leave */
    int64_t largest = (int64_t)PIXELS_LIMIT * MAX_SCALE * MAX_SCALE;
    for (int i = 0; i < MAX_WINDOW; i++)
        zmq_msg_init(&slots[i].pixels);
    context = zmq_ctx_new();
    dealer = zmq_socket(context, ZMQ_DEALER);
    monitor = zmq_socket(context, ZMQ_PAIR);
    zmq_setsockopt(dealer, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
    zmq_setsockopt(dealer, ZMQ_MAXMSGSIZE, &largest, sizeof largest);
    zmq_socket_monitor(dealer, "inproc://monitor", ZMQ_EVENT_DISCONNECTED | KEY_EVENTS);
    zmq_connect(monitor, "inproc://monitor");
    bool locked = want.keys == NULL || take_keys(dealer, want.keys);
    if (!locked || zmq_connect(dealer, want.url) != 0) {
        lose(locked ? "this is no address: write tcp://HOST:PORT or ipc://PATH"
                    : "no client.key (mode 0600) and server.pub are where -k says");
        return;
    }
    double until = now_ms() + want.timeout_ms;
    say_word("HELLO");
    while (window == 0 && lost == NULL && now_ms() < until)
        listen_until(until);
    if (window == 0 && lost == NULL)
        lose("no daemon answers");
    heard = now_ms();
}

static void hang_up(void)
{
    if (lost == NULL)
        say_word("BYE");
    for (int i = 0; i < MAX_WINDOW; i++)
        zmq_msg_close(&slots[i].pixels);
    zmq_socket_monitor(dealer, NULL, 0);
    zmq_close(monitor);
    zmq_close(dealer);
    zmq_ctx_term(context);
}

#endif
