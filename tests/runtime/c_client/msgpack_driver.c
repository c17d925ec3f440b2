/* Reads lines `HEX KEY`; prints what clients/c/msgpack.h finds there, as the test writes it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "msgpack.h"

int main(void)
{
    static char line[4 * HEADER_LIMIT], key[64];
    while (fgets(line, sizeof line, stdin) != NULL) {
        static char hex[4 * HEADER_LIMIT];
        if (sscanf(line, "%s %63s", hex, key) != 2)
            return 1;
        size_t size = strlen(hex) / 2;
        uint8_t *header = malloc(size); /* exactly: the sanitizer sees a byte too many */
        for (size_t i = 0; i < size; i++) {
            unsigned byte;
            sscanf(hex + 2 * i, "%2x", &byte);
            header[i] = (uint8_t)byte;
        }
        value v = find(header, size, key);
        switch (v.kind) {
        case BAD: puts("bad"); break;
        case NIL: puts("nil"); break;
        case BOOL: puts(v.uint ? "true" : "false"); break;
        case UINT: printf("uint %" PRIu64 "\n", v.uint); break;
        case NEGATIVE: puts("negative"); break;
        case DOUBLE: printf("double %a\n", v.real); break;
        case STR: printf("str %" PRIu64 "\n", v.uint); break;
        case ARRAY: printf("array %" PRIu64 "\n", v.uint); break;
        case MAP: puts("map"); break;
        case OTHER: puts("other"); break;
        }
        free(header);
    }
    /* The writer's functions, so that none is unused here. */
    pack all = {.size = 0};
    put_map(&all, 6);
    put_str(&all, "uint"), put_uint(&all, 70000);
    put_str(&all, "long"), put_uint(&all, (uint64_t)1 << 40);
    put_str(&all, "forty letters, which no fixstr can hold."), put_uint(&all, 200);
    put_str(&all, "real"), put_double(&all, -1024.5);
    put_str(&all, "nil"), put_nil(&all);
    put_str(&all, "yes"), put_bool(&all, is_text((value){.kind = STR, .uint = 2, .text = "is"}, "is"));
    for (size_t i = 0; i < all.size; i++)
        printf("%02x", all.bytes[i]);
    puts("");
    return 0;
}
