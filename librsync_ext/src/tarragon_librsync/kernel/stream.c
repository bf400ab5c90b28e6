/* New content in pieces of any size: sign its aligned blocks, search it for old ones, remember only what is unfinished.
 *
 * Work is done in the caller's own memory; what a piece leaves unfinished (less than `need` bytes) is carried over to
 * the next. A signer is the same machine without an old signature.
 */
#include <stdlib.h>

#include "inner.h"

#define SLICE (256u << 10)       /* signed, then searched, while still in the cache */
#define GROUP_BYTES (16u << 20)  /* blocks are hashed in parallel only as far as their sum stays below this */
#ifndef TL_LEAST_NEED
#define TL_LEAST_NEED (64u << 10) /* fuzzing lowers it, to reach every cut with short inputs */
#endif

struct tl_delta {
    const tl_path *path;
    tl_search search;            /* search.sig NULL: sign only */
    tl_ring *ring;               /* shared with the search when both block lengths are the same */
    tl_out sums;
    uint8_t *carry;
    size_t carried, carry_room;
    size_t searched, signed_to;  /* in bytes from the start of the carry */
    size_t need;
    uint32_t sign_len, strong_len;
    unsigned sign_group;
    int flags;
    bool finished;
};

static unsigned group_of(const tl_path *path, uint32_t len)
{
    unsigned fit = GROUP_BYTES / len;
    return fit < 1 ? 1 : fit < path->lanes ? fit : path->lanes;
}

static void put_header(tl_delta *delta)
{
    uint8_t header[12];
    tl_put32(header, TL_DELTA_MAGIC);
    if (delta->search.sig && delta->flags & TL_HEADER)
        tl_out_put(&delta->search.emit.out, header, 4);
    tl_put32(header, TL_SIGNATURE_MAGIC);
    tl_put32(header + 4, delta->sign_len);
    tl_put32(header + 8, delta->strong_len);
    if (delta->sign_len && delta->flags & TL_SIGN_HEADER)
        tl_out_put(&delta->sums, header, 12);
}

tl_delta *tl_delta_new(const tl_sig *old, uint32_t sign_len, uint32_t strong_len, int flags, uint64_t offset)
{
    tl_delta *delta = calloc(1, sizeof *delta);
    if (!delta)
        return NULL;
    const tl_path *path = delta->path = tl_path_chosen();
    delta->sign_len = sign_len;
    delta->strong_len = strong_len;
    delta->flags = flags;
    delta->search = (tl_search){.path = path, .sig = old, .expected = TL_NONE, .reach = 1, .batch = 1};
    if (sign_len) {
        delta->sign_group = group_of(path, sign_len);
        delta->need += (size_t)delta->sign_group * sign_len;
    }
    if (old) {
        delta->search.group = group_of(path, old->block_len);
        delta->need += ((size_t)delta->search.group + 1) * old->block_len + 1;
        if (offset % old->block_len == 0 && offset / old->block_len < old->blocks)
            delta->search.expected = (uint32_t)(offset / old->block_len);
        if (sign_len == old->block_len) {
            delta->search.ring = delta->ring = calloc(1, sizeof *delta->ring);
            delta->sums.failed = !delta->ring;
        }
    }
    if (delta->need < TL_LEAST_NEED)
        delta->need = TL_LEAST_NEED;
    put_header(delta);
    return delta;
}

void tl_delta_free(tl_delta *delta)
{
    if (!delta)
        return;
    free(delta->search.emit.out.bytes);
    free(delta->sums.bytes);
    free(delta->carry);
    free(delta->ring);
    free(delta);
}

static void put_sums(tl_delta *delta, uint32_t weak, const uint8_t *strong)
{
    uint8_t entry[4 + TL_STRONG];
    tl_put32(entry, weak);
    memcpy(entry + 4, strong, TL_STRONG);
    tl_out_put(&delta->sums, entry, 4 + delta->strong_len);
}

static void remember(tl_ring *ring, uint32_t weak, const uint8_t *strong)
{
    size_t at = ring->end++ % TL_RING;
    ring->weak[at] = weak;
    memcpy(ring->strong[at], strong, TL_STRONG);
    if (ring->end - ring->first > TL_RING)
        ring->first++;
}

/* Sign `count` whole blocks, at most TL_MAX_LANES. */
static void sign_group(tl_delta *delta, const uint8_t *from, size_t count)
{
    const uint8_t *blocks[TL_MAX_LANES] = {from};
    uint32_t weak[TL_MAX_LANES];
    uint8_t strong[TL_MAX_LANES][TL_STRONG];
    /* The weak sums first: they read in order, which brings the blocks into the cache for the lanes of MD4. */
    for (size_t i = 0; i < count; i++) {
        blocks[i] = from + i * delta->sign_len;
        weak[i] = tl_value(delta->path->weak(blocks[i], delta->sign_len));
    }
    tl_md4_equal(delta->path, blocks, count, delta->sign_len, strong);
    for (size_t i = 0; i < count; i++) {
        put_sums(delta, weak[i], strong[i]);
        if (delta->ring)
            remember(delta->ring, weak[i], strong[i]);
    }
}

/* Sign the next slice of window[..size); false when nothing more can be signed now. */
static bool sign_slice(tl_delta *delta, const uint8_t *window, size_t size, bool final)
{
    size_t len = delta->sign_len, group = delta->sign_group, start = delta->signed_to;
    while ((size - delta->signed_to) / len >= group && delta->signed_to - start < SLICE) {
        sign_group(delta, window + delta->signed_to, group);
        delta->signed_to += group * len;
    }
    if (delta->signed_to != start)
        return true;
    if (!final || delta->signed_to == size)
        return false;
    size_t whole = (size - delta->signed_to) / len;
    if (whole) {
        sign_group(delta, window + delta->signed_to, whole);
        delta->signed_to += whole * len;
    } else {
        uint8_t strong[TL_STRONG];
        const uint8_t *from = window + delta->signed_to;
        size_t rest = size - delta->signed_to;
        tl_md4(from, rest, strong);
        put_sums(delta, tl_value(delta->path->weak(from, rest)), strong);
        delta->signed_to = size;
    }
    return true;
}

/* Work on a window as far as it goes; returns how many bytes at its start are done with. */
static size_t work(tl_delta *delta, const uint8_t *window, size_t size, bool final)
{
    tl_search *search = &delta->search;
    bool more = delta->sign_len != 0;
    do {
        more = more && sign_slice(delta, window, size, final);
        size_t limit = delta->sign_len && !(final && !more) ? delta->signed_to : size;
        if (search->sig && limit > delta->searched)
            delta->searched = tl_search_on(search, window, delta->searched, limit, final && !more);
    } while (more);
    if (!search->sig)
        delta->searched = delta->signed_to;
    if (!delta->sign_len)
        delta->signed_to = delta->searched;
    size_t done = delta->searched < delta->signed_to ? delta->searched : delta->signed_to;
    delta->searched -= done;
    delta->signed_to -= done;
    search->window_at += done;
    return done;
}

static bool carry_more(tl_delta *delta, const uint8_t *data, size_t size)
{
    if (delta->carry_room - delta->carried < size) {
        size_t room = delta->carried + size + delta->carried / 2;
        uint8_t *carry = room < size ? NULL : realloc(delta->carry, room);
        if (!carry)
            return false;
        delta->carry = carry;
        delta->carry_room = room;
    }
    if (size)
        memcpy(delta->carry + delta->carried, data, size);
    delta->carried += size;
    return true;
}

static int feed(tl_delta *delta, const uint8_t *data, size_t size)
{
    while (delta->carried && size) {
        size_t before = delta->carried, taken = size < delta->need ? size : delta->need;
        if (!carry_more(delta, data, taken))
            return TL_NO_MEMORY;
        if (delta->carried < delta->need)
            return TL_OK;
        size_t done = work(delta, delta->carry, delta->carried, false);
        if (done >= before) { /* the old rest is done with: go on in the caller's memory */
            delta->carried = 0;
            data += done - before;
            size -= done - before;
        } else {
            memmove(delta->carry, delta->carry + done, delta->carried - done);
            delta->carried -= done;
            data += taken;
            size -= taken;
        }
    }
    if (size >= delta->need) {
        size_t done = work(delta, data, size, false);
        data += done;
        size -= done;
    }
    return carry_more(delta, data, size) ? TL_OK : TL_NO_MEMORY;
}

static int outcome(const tl_delta *delta, int result)
{
    return delta->sums.failed || delta->search.emit.out.failed ? TL_NO_MEMORY : result;
}

int tl_delta_update(tl_delta *delta, const uint8_t *data, size_t size)
{
    int result = delta->finished ? TL_FINISHED : outcome(delta, feed(delta, data, size));
    if (result != TL_OK)
        delta->finished = true;
    return result;
}

int tl_delta_finish(tl_delta *delta)
{
    int result = TL_FINISHED;
    if (!delta->finished) {
        static const uint8_t nothing[1];
        work(delta, delta->carry ? delta->carry : nothing, delta->carried, true);
        if (delta->search.sig) {
            tl_emit_flush(&delta->search.emit);
            if (delta->flags & TL_END)
                tl_out_put(&delta->search.emit.out, (const uint8_t[]){0}, 1);
        }
        result = outcome(delta, TL_OK);
        delta->finished = true;
        free(delta->carry);
        delta->carry = NULL;
        delta->carried = delta->carry_room = 0;
    }
    return result;
}

size_t tl_delta_need(const tl_delta *delta)
{
    return delta->need;
}

const uint8_t *tl_delta_out(tl_delta *delta, int which, size_t *size)
{
    tl_out *out = which ? &delta->sums : &delta->search.emit.out;
    *size = out->size;
    return out->bytes;
}

void tl_delta_taken(tl_delta *delta, int which)
{
    tl_out_clear(which ? &delta->sums : &delta->search.emit.out);
}
