/* Streams raw frames through a Scanside daemon, for appliances that are not Python.
 *
 * IN holds COUNT frames of ROWS x COLUMNS 16-bit words, little-endian, one after the other; the
 * word `pattern` instead of a file makes them up. OUT gets one frame for each, in order: enhanced,
 * or else the original. A line for each tells which: SEQ OUTCOME REASON ROWS COLUMNS.
 *
 * KEYS is the folder with client.key and server.pub, for a daemon that asks for keys.
 *
 * Exit code: 0 every frame was answered; 1 a file cannot be read or written, or IN is short;
 * 2 usage; 7 no daemon, it went away, or broke the protocol: what it did not answer is
 * `unanswered`, with the original in OUT. */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "session.h"

static bool read_frame(FILE *in, slot *to)
{
    if (in != NULL)
        return fread(to->original, 1, frame_bytes(), in) == frame_bytes();
    for (size_t i = 0; i < frame_bytes() / WORD; i++) {
        unsigned word = (unsigned)(i * 7 + taken * 131) & 0xfff;
        to->original[2 * i] = (uint8_t)word;
        to->original[2 * i + 1] = (uint8_t)(word >> 8);
    }
    return true;
}

static bool write_frame(FILE *out, slot *from)
{
    bool enhanced = strcmp(from->outcome, "enhanced") == 0;
    size_t size = frame_bytes() * from->scale * from->scale;
    const void *pixels = enhanced ? zmq_msg_data(&from->pixels) : from->original;
    printf("%llu %s %s %llu %llu\n", (unsigned long long)written, from->outcome,
           from->reason ? from->reason : "-", (unsigned long long)(want.rows * from->scale),
           (unsigned long long)(want.columns * from->scale));
    return fwrite(pixels, 1, size, out) == size;
}

/* Whether all of `count` frames went through, one every `pace_ms` at most. */
static bool stream(FILE *in, FILE *out, uint64_t count, double pace_ms)
{
    double due = 0;
    bool complete = true;
    while (written < count) {
        slot *oldest = &slots[written % MAX_WINDOW];
        bool room = taken < count && may_take();
        if (written < taken && oldest->outcome != NULL) {
            if (!write_frame(out, oldest))
                return false;
            written++;
        } else if (room && (lost != NULL || now_ms() >= due)) {
            if (read_frame(in, &slots[taken % MAX_WINDOW])) {
                due = now_ms() + pace_ms;
                send_frame();
            } else { /* IN is short: what is on its way still comes back */
                complete = false;
                count = taken;
            }
        } else
            wait_until(room ? due : INFINITY);
    }
    return complete;
}

static int usage(void)
{
    fprintf(stderr,
            "usage: scanside_send [-m MODALITY] [-b BITS] [-s SLOPE] [-i INTERCEPT] [-d DEADLINE_MS]\n"
            "       [-t TIMEOUT_MS] [-p PACE_MS] [-k KEYS] URL uint16|int16 ROWS COLUMNS COUNT IN|pattern OUT\n");
    return 2;
}

int main(int argc, char **argv)
{
    double pace_ms = 0;
    for (int option; (option = getopt(argc, argv, "m:b:s:i:d:t:p:k:")) != -1;)
        switch (option) {
        case 'm': want.modality = optarg; break;
        case 'b': want.bits = strtoull(optarg, NULL, 10); break;
        case 's': want.slope = strtod(optarg, NULL); break;
        case 'i': want.intercept = strtod(optarg, NULL); break;
        case 'd': want.deadline_ms = strtod(optarg, NULL); break;
        case 't': want.timeout_ms = strtod(optarg, NULL); break;
        case 'k': want.keys = optarg; break;
        case 'p': pace_ms = strtod(optarg, NULL); break;
        default: return usage();
        }
    if (argc - optind != 7)
        return usage();
    argv += optind;
    want.url = argv[0];
    want.dtype = argv[1];
    want.rows = strtoull(argv[2], NULL, 10);
    want.columns = strtoull(argv[3], NULL, 10);
    uint64_t count = strtoull(argv[4], NULL, 10);
    bool known = strcmp(want.dtype, "uint16") == 0 || strcmp(want.dtype, "int16") == 0;
    if (!known || want.rows < 1 || want.rows > 65535 || want.columns < 1 || want.columns > 65535 ||
        frame_bytes() > PIXELS_LIMIT || !(want.timeout_ms > 0))
        return usage();
    bool made_up = strcmp(argv[5], "pattern") == 0;
    FILE *in = made_up ? NULL : fopen(argv[5], "rb"), *out = fopen(argv[6], "wb");
    uint8_t *originals = malloc(MAX_WINDOW * frame_bytes());
    bool usable = (in != NULL || made_up) && out != NULL && originals != NULL;
    for (int i = 0; usable && i < MAX_WINDOW; i++)
        slots[i].original = originals + (size_t)i * frame_bytes();
    if (usable) {
        greet();
        usable = stream(in, out, count, pace_ms);
        hang_up();
    }
    usable = (out == NULL || fclose(out) == 0) && usable;
    if (in != NULL)
        fclose(in);
    free(originals);
    if (!usable)
        fprintf(stderr, "scanside_send: IN is missing or short, or OUT cannot be written\n");
    return !usable ? 1 : lost != NULL ? 7 : 0;
}
