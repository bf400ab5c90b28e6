/* Signatures of many small files in one call: blocks of all files share the lanes of MD4.
 *
 * Blocks whose padded lengths take the same number of chunks can be hashed together, so there is one waiting room per
 * such shape; a full room is hashed and its digests go straight to their places in the output.
 */
#include <stdlib.h>

#include "inner.h"

#define STRONG_LEN 8
#define SHAPES 130 /* two for each number of whole chunks; longer blocks fill the lanes from their own file */
#define LONGEST (64 * (SHAPES / 2))

typedef struct {
    const uint8_t *blocks[TL_MAX_LANES];
    size_t lens[TL_MAX_LANES];
    uint8_t *to[TL_MAX_LANES];
    unsigned count;
} room;

static void hash_room(const tl_path *path, room *full)
{
    uint8_t digests[TL_MAX_LANES][TL_STRONG];
    if (!full->count)
        return;
    path->md4(full->blocks, full->lens, full->count, digests);
    for (unsigned i = 0; i < full->count; i++)
        memcpy(full->to[i], digests[i], STRONG_LEN);
    full->count = 0;
}

static void admit(const tl_path *path, room *to, const uint8_t *block, size_t len, uint8_t *out)
{
    to->blocks[to->count] = block;
    to->lens[to->count] = len;
    to->to[to->count++] = out;
    if (to->count == path->lanes)
        hash_room(path, to);
}

static void sign_file(const tl_path *path, room *rooms, const uint8_t *data, size_t size, uint32_t block_len, uint8_t *out)
{
    room *own = &rooms[SHAPES]; /* for blocks too long to have a shape */
    tl_put32(out, TL_SIGNATURE_MAGIC);
    tl_put32(out + 4, block_len);
    tl_put32(out + 8, STRONG_LEN);
    out += 12;
    for (size_t at = 0; at < size; at += block_len, out += 4 + STRONG_LEN) {
        size_t len = size - at < block_len ? size - at : block_len;
        tl_put32(out, tl_value(path->weak(data + at, len)));
        if (len < LONGEST) {
            admit(path, &rooms[len / 64 * 2 + (len % 64 >= 56)], data + at, len, out + 4);
            continue;
        }
        if (own->count && own->lens[0] != len)
            hash_room(path, own);
        admit(path, own, data + at, len, out + 4);
    }
}

int tl_batch(const uint8_t *const *data, const size_t *sizes, const uint32_t *block_lens, size_t count,
             uint8_t *out)
{
    const tl_path *path = tl_path_chosen();
    room *rooms = calloc(SHAPES + 1, sizeof *rooms);
    if (!rooms)
        return TL_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        sign_file(path, rooms, data[i], sizes[i], block_lens[i], out);
        out += 12 + (sizes[i] / block_lens[i] + (sizes[i] % block_lens[i] != 0)) * (4 + STRONG_LEN);
    }
    for (int i = 0; i <= SHAPES; i++)
        hash_room(path, &rooms[i]);
    free(rooms);
    return TL_OK;
}
