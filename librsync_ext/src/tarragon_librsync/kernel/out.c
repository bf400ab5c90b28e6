/* Output that grows, and the delta commands written into it. */
#include <stdlib.h>

#include "inner.h"

#define KEPT_ROOM (4u << 20)

uint8_t *tl_out_space(tl_out *out, size_t size)
{
    if (out->failed)
        return NULL;
    if (out->room - out->size < size) {
        size_t room = out->room + out->room / 2 + size;
        uint8_t *bytes = room < size ? NULL : realloc(out->bytes, room);
        if (!bytes) {
            out->failed = true;
            return NULL;
        }
        out->bytes = bytes;
        out->room = room;
    }
    return out->bytes + out->size;
}

void tl_out_put(tl_out *out, const uint8_t *data, size_t size)
{
    uint8_t *to = tl_out_space(out, size);
    if (to && size) {
        memcpy(to, data, size);
        out->size += size;
    }
}

void tl_out_clear(tl_out *out)
{
    out->size = 0;
    if (out->room > KEPT_ROOM) {
        free(out->bytes);
        out->bytes = NULL;
        out->room = 0;
    }
}

/* How wide a number has to be written: 2^result bytes (docs/format.md § 5.3). */
static unsigned width(uint64_t value)
{
    return value < (1u << 8) ? 0 : value < (1u << 16) ? 1 : value >> 32 == 0 ? 2 : 3;
}

static uint8_t *put_number(uint8_t *to, uint64_t value, unsigned wide)
{
    for (int shift = (8 << wide) - 8; shift >= 0; shift -= 8)
        *to++ = (uint8_t)(value >> shift);
    return to;
}

void tl_emit_flush(tl_emit *emit)
{
    uint8_t command[17], *end = command;
    if (!emit->copy_length)
        return;
    unsigned i = width(emit->copy_offset), j = width(emit->copy_length);
    *end++ = (uint8_t)(0x45 + 4 * i + j);
    end = put_number(end, emit->copy_offset, i);
    end = put_number(end, emit->copy_length, j);
    tl_out_put(&emit->out, command, (size_t)(end - command));
    emit->copy_length = 0;
}

void tl_emit_literal(tl_emit *emit, const uint8_t *data, size_t size)
{
    uint8_t command[9], *end = command;
    if (!size)
        return;
    tl_emit_flush(emit);
    if (size <= 0x40) {
        *end++ = (uint8_t)size;
    } else {
        unsigned wide = width(size);
        *end++ = (uint8_t)(0x41 + wide);
        end = put_number(end, size, wide);
    }
    if (tl_out_space(&emit->out, size + sizeof command)) {
        tl_out_put(&emit->out, command, (size_t)(end - command));
        tl_out_put(&emit->out, data, size);
    }
}

void tl_emit_copy(tl_emit *emit, uint64_t offset, uint64_t length)
{
    if (emit->copy_length && emit->copy_offset + emit->copy_length == offset) {
        emit->copy_length += length;
        return;
    }
    tl_emit_flush(emit);
    emit->copy_offset = offset;
    emit->copy_length = length;
}
