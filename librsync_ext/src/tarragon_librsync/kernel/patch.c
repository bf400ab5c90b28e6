/* Delta commands (docs/format.md § 5.3) in pieces of any size, turned into steps; who has the basis carries them out. */
#include <stdlib.h>

#include "inner.h"

struct tl_patch {
    uint8_t head[17];       /* the magic or a command, as far as it came */
    unsigned have, want;
    uint64_t literal;       /* bytes of the current literal still to come */
    bool started, ended;
};

tl_patch *tl_patch_new(void)
{
    tl_patch *patch = calloc(1, sizeof *patch);
    if (patch)
        patch->want = 4;
    return patch;
}

void tl_patch_free(tl_patch *patch)
{
    free(patch);
}

static uint64_t number(const uint8_t *from, unsigned wide)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < 1u << wide; i++)
        value = value << 8 | from[i];
    return value;
}

/* How many bytes a command has before its data; 0 for none that exists. */
static unsigned command_size(uint8_t code)
{
    if (code <= 0x40)
        return 1;
    if (code <= 0x44)
        return 1 + (1u << (code - 0x41));
    if (code <= 0x54)
        return 1 + (1u << ((code - 0x45) / 4)) + (1u << ((code - 0x45) % 4));
    return 0;
}

/* The head is complete: act on it. *copy is set to a copy's range, its length 0 otherwise. */
static int act(tl_patch *patch, tl_op *copy)
{
    uint8_t code = patch->head[0];
    copy->length = 0;
    if (!patch->started) {
        if (tl_big32(patch->head) != TL_DELTA_MAGIC)
            return TL_BAD_MAGIC;
        patch->started = true;
    } else if (code == 0) {
        patch->ended = true;
    } else if (code <= 0x40) {
        patch->literal = code;
    } else if (code <= 0x44) {
        patch->literal = number(patch->head + 1, code - 0x41u);
        if (!patch->literal)
            return TL_BAD_COMMAND;
    } else {
        unsigned i = (code - 0x45u) / 4, j = (code - 0x45u) % 4;
        *copy = (tl_op){1, number(patch->head + 1, i), number(patch->head + 1 + (1u << i), j)};
        if (!copy->length)
            return TL_BAD_COMMAND;
    }
    patch->have = 0;
    patch->want = 1;
    return TL_OK;
}

/* Take data until it or the room for steps ends. Steps already written count even when an error follows them. */
int tl_patch_parse(tl_patch *patch, const uint8_t *data, size_t size, size_t *taken, tl_op *ops, size_t room,
                   size_t *count)
{
    size_t at = 0;
    int result = TL_OK;
    *count = 0;
    while (at < size && *count < room && result == TL_OK) {
        if (patch->literal) {
            uint64_t here = patch->literal < size - at ? patch->literal : size - at;
            ops[(*count)++] = (tl_op){0, at, here};
            patch->literal -= here;
            at += (size_t)here;
            continue;
        }
        if (patch->ended) {
            result = TL_TRAILING;
            break;
        }
        uint8_t byte = data[at++];
        patch->head[patch->have++] = byte;
        if (patch->started && patch->have == 1) {
            patch->want = command_size(byte);
            if (!patch->want)
                result = TL_BAD_COMMAND;
        }
        if (result == TL_OK && patch->have == patch->want) {
            tl_op copy;
            result = act(patch, &copy);
            if (result == TL_OK && copy.length)
                ops[(*count)++] = copy;
        }
    }
    *taken = at;
    return result;
}

int tl_patch_finish(const tl_patch *patch)
{
    return patch->ended ? TL_OK : TL_TRUNCATED;
}
