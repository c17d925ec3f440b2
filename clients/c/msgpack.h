/* The little msgpack that the wire needs. Nothing is allocated; nothing is read past the end. */
#ifndef SCANSIDE_MSGPACK_H
#define SCANSIDE_MSGPACK_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define HEADER_LIMIT 4096

/* Writing: a header that grew over the limit has `full` set and must not be sent. */
typedef struct {
    uint8_t bytes[HEADER_LIMIT];
    size_t size;
    bool full;
} pack;

static void put_raw(pack *to, const void *bytes, size_t size)
{
    to->full = to->full || size > sizeof to->bytes - to->size;
    if (!to->full) {
        memcpy(to->bytes + to->size, bytes, size);
        to->size += size;
    }
}

static void put_number(pack *to, uint8_t lead, uint64_t value, int bytes)
{
    uint8_t raw[9] = {lead};
    for (int i = bytes; i > 0; i--, value >>= 8)
        raw[i] = (uint8_t)value;
    put_raw(to, raw, (size_t)bytes + 1);
}

static void put_map(pack *to, uint8_t pairs) { put_number(to, 0x80 | (pairs & 15), 0, 0); }
static void put_nil(pack *to) { put_number(to, 0xc0, 0, 0); }
static void put_bool(pack *to, bool value) { put_number(to, value ? 0xc3 : 0xc2, 0, 0); }

static void put_uint(pack *to, uint64_t value)
{
    if (value < 128)
        put_number(to, (uint8_t)value, 0, 0);
    else if (value <= UINT8_MAX)
        put_number(to, 0xcc, value, 1);
    else if (value <= UINT16_MAX)
        put_number(to, 0xcd, value, 2);
    else if (value <= UINT32_MAX)
        put_number(to, 0xce, value, 4);
    else
        put_number(to, 0xcf, value, 8);
}

static void put_double(pack *to, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_number(to, 0xcb, bits, 8);
}

static void put_str(pack *to, const char *text)
{
    size_t size = strlen(text);
    if (size < 32)
        put_number(to, (uint8_t)(0xa0 | size), 0, 0);
    else if (size <= UINT8_MAX)
        put_number(to, 0xd9, size, 1);
    else
        put_number(to, 0xda, size, 2);
    to->full = to->full || size > HEADER_LIMIT;
    put_raw(to, text, size);
}

/* Reading: one value at a time; the members of a map or an array are the values that follow. */
typedef enum { BAD, NIL, BOOL, UINT, NEGATIVE, DOUBLE, STR, ARRAY, MAP, OTHER } kind;

typedef struct {
    kind kind;
    uint64_t uint;    /* BOOL, UINT: the value; STR: bytes; ARRAY: items; MAP: pairs */
    double real;      /* DOUBLE */
    const char *text; /* STR, not ended by a zero */
} value;

typedef struct {
    const uint8_t *at, *end;
} reader;

static uint64_t take_number(reader *from, int bytes, bool *bad)
{
    uint64_t number = 0;
    *bad = *bad || from->end - from->at < bytes;
    for (int i = 0; !*bad && i < bytes; i++)
        number = number << 8 | *from->at++;
    return number;
}

static value take(reader *from)
{
    value v = {.kind = BAD};
    bool bad = false;
    uint64_t payload = 0; /* bytes after the lead that belong to this value */
    uint8_t lead = (uint8_t)take_number(from, 1, &bad);
    if (bad || lead == 0xc1)
        return v;
    if (lead < 0x80)
        v = (value){.kind = UINT, .uint = lead};
    else if (lead < 0x90)
        v = (value){.kind = MAP, .uint = lead & 15};
    else if (lead < 0xa0)
        v = (value){.kind = ARRAY, .uint = lead & 15};
    else if (lead < 0xc0)
        v = (value){.kind = STR, .uint = payload = lead & 31};
    else if (lead >= 0xe0)
        v.kind = NEGATIVE;
    else if (lead == 0xc0)
        v.kind = NIL;
    else if (lead <= 0xc3)
        v = (value){.kind = BOOL, .uint = lead & 1};
    else if (lead <= 0xc6) /* bin */
        v.kind = OTHER, payload = take_number(from, 1 << (lead - 0xc4), &bad);
    else if (lead <= 0xc9) /* ext: a byte for its type */
        v.kind = OTHER, payload = take_number(from, 1 << (lead - 0xc7), &bad) + 1;
    else if (lead == 0xca) {
        uint32_t bits = (uint32_t)take_number(from, 4, &bad);
        float single;
        memcpy(&single, &bits, sizeof single);
        v = (value){.kind = DOUBLE, .real = (double)single};
    } else if (lead == 0xcb) {
        uint64_t bits = take_number(from, 8, &bad);
        v.kind = DOUBLE;
        memcpy(&v.real, &bits, sizeof bits);
    } else if (lead <= 0xcf)
        v = (value){.kind = UINT, .uint = take_number(from, 1 << (lead - 0xcc), &bad)};
    else if (lead <= 0xd3) {
        int bytes = 1 << (lead - 0xd0);
        uint64_t bits = take_number(from, bytes, &bad);
        v = (value){.kind = bits >> (bytes * 8 - 1) ? NEGATIVE : UINT, .uint = bits};
    } else if (lead <= 0xd8) /* fixext */
        v.kind = OTHER, payload = (1u << (lead - 0xd4)) + 1;
    else if (lead <= 0xdb)
        v = (value){.kind = STR, .uint = payload = take_number(from, 1 << (lead - 0xd9), &bad)};
    else
        v = (value){.kind = lead <= 0xdd ? ARRAY : MAP,
                    .uint = take_number(from, lead & 1 ? 4 : 2, &bad)};
    if (bad || payload > (uint64_t)(from->end - from->at))
        return (value){.kind = BAD};
    v.text = (const char *)from->at;
    from->at += payload;
    return v;
}

/* The value of `key` in the map that a whole header is. BAD: the header is no such map, or lacks
 * the key. A map or an array that is found is not opened. */
static value find(const void *header, size_t size, const char *key)
{
    reader from = {header, (const uint8_t *)header + size};
    value found = {.kind = BAD}, map = take(&from);
    if (size > HEADER_LIMIT || map.kind != MAP)
        return found;
    for (uint64_t pairs = map.uint; pairs > 0; pairs--) {
        value name = take(&from), v = take(&from);
        if (name.kind != STR)
            return (value){.kind = BAD};
        if (name.uint == strlen(key) && memcmp(name.text, key, name.uint) == 0)
            found = v;
        /* Every value takes a byte at least, so that no count keeps this going past the end. */
        for (uint64_t left = v.kind == MAP ? 2 * v.uint : v.kind == ARRAY ? v.uint : 0;; left--) {
            if (v.kind == BAD)
                return v;
            if (left == 0)
                break;
            v = take(&from);
            left += v.kind == MAP ? 2 * v.uint : v.kind == ARRAY ? v.uint : 0;
        }
    }
    return from.at == from.end ? found : (value){.kind = BAD};
}

static bool is_text(value v, const char *text)
{
    return v.kind == STR && v.uint == strlen(text) && memcmp(v.text, text, v.uint) == 0;
}

#endif
