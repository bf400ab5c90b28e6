/* The search for old blocks in new content: greedy from left to right, as librsync does it, so that deltas are as small.
 *
 * After a hit the next block of the basis is expected next, and a whole group of expected blocks is hashed at a time
 * (or not at all, when the new file's own signature has their sums already). Where that fails, the weak sum rolls over
 * every position; a filter, then the index, then MD4 decide, and MD4 of several candidates is taken together.
 */
#include "inner.h"

/* Hashing candidates in vain may cost this much before they are passed over: 64 MiB, and a share of what was searched.
 * Honest content stays far below (chance hits cost about blocks * block length / 2^29 per position); content made to
 * collide costs a larger delta instead of quadratic time. */
#ifndef TL_WASTE_FREE
#define TL_WASTE_FREE (64u << 20)
#endif
#define WASTE_SHARE 16u
#define TAIL_TRIES 16

typedef struct {
    size_t pos[TL_MAX_LANES];
    uint32_t weak[TL_MAX_LANES];
    unsigned count;
} candidates;

static uint64_t waste_allowed(const tl_search *search, uint64_t scanned)
{
    uint64_t chance = (uint64_t)search->sig->blocks * search->sig->block_len >> 29;
    return TL_WASTE_FREE + 256 * (uint64_t)search->sig->block_len + scanned * (WASTE_SHARE + 4 * chance);
}

/* The ring's number for the block at `pos`, if its sums are known. */
static bool in_ring(const tl_search *search, size_t pos, uint64_t *number)
{
    if (!search->ring)
        return false;
    uint64_t at = search->window_at + pos, len = search->sig->block_len;
    *number = at / len;
    return at % len == 0 && *number >= search->ring->first && *number < search->ring->end;
}

static size_t follow_ring(const tl_search *search, uint64_t number, size_t count)
{
    const tl_ring *ring = search->ring;
    size_t run = 0;
    while (run < count && number + run < ring->end
           && tl_sig_is_block(search->sig, search->expected + (uint32_t)run, ring->weak[(number + run) % TL_RING],
                              ring->strong[(number + run) % TL_RING]))
        run++;
    return run;
}

static size_t follow_hashing(const tl_search *search, const uint8_t *from, size_t count)
{
    const tl_sig *sig = search->sig;
    const uint8_t *blocks[TL_MAX_LANES];
    uint8_t strong[TL_MAX_LANES][TL_STRONG];
    size_t likely = 0, run = 0;
    for (; likely < count; likely++) {
        blocks[likely] = from + likely * sig->block_len;
        if (tl_value(search->path->weak(blocks[likely], sig->block_len)) != sig->weak[search->expected + likely])
            break;
    }
    if (likely)
        tl_md4_equal(search->path, blocks, likely, sig->block_len, strong);
    while (run < likely
           && memcmp(sig->strong + (search->expected + run) * sig->strong_len, strong[run], sig->strong_len) == 0)
        run++;
    return run;
}

/* How many blocks at `pos` are those that follow the last copy in the basis; *wait when a fuller group would tell. */
static size_t follow(const tl_search *search, const uint8_t *window, size_t pos, size_t limit, bool final, bool *wait)
{
    size_t left = search->sig->blocks - search->expected, count = (limit - pos) / search->sig->block_len;
    uint64_t number;
    if (count > left)
        count = left;
    if (in_ring(search, pos, &number))
        return follow_ring(search, number, count);
    *wait = !final && count < search->group && count < left;
    if (*wait)
        return 0;
    return follow_hashing(search, window + pos, count < search->group ? count : search->group);
}

/* Hash the gathered candidates together; the first real one wins. */
static bool settle(tl_search *search, const uint8_t *window, candidates *found, size_t *pos, uint32_t *block)
{
    const uint8_t *blocks[TL_MAX_LANES];
    uint8_t strong[TL_MAX_LANES][TL_STRONG];
    unsigned count = found->count;
    if (!count)
        return false;
    found->count = 0;
    for (unsigned i = 0; i < count; i++)
        blocks[i] = window + found->pos[i];
    tl_md4_equal(search->path, blocks, count, search->sig->block_len, strong);
    for (unsigned i = 0; i < count; i++) {
        *block = tl_sig_find(search->sig, found->weak[i], strong[i]);
        if (*block != TL_NONE) {
            *pos = found->pos[i];
            search->batch = 1;
            return true;
        }
    }
    search->wasted += (uint64_t)count * search->sig->block_len;
    if (search->batch < search->path->lanes)
        search->batch *= 2;
    return false;
}

/* Decide about a position whose weak sum is known in the basis: true when *pos, *block hold a hit there or before. */
static bool weigh(tl_search *search, const uint8_t *window, uint32_t weak, candidates *found, size_t *pos,
                  uint32_t *block)
{
    size_t here = *pos;
    uint64_t number;
    if (in_ring(search, here, &number)) {
        uint32_t known = tl_sig_find(search->sig, weak, search->ring->strong[number % TL_RING]);
        if (known == TL_NONE)
            return false;
        if (!settle(search, window, found, pos, block)) {
            *pos = here;
            *block = known;
        }
        return true;
    }
    found->pos[found->count] = here;
    found->weak[found->count++] = weak;
    return found->count >= search->batch && settle(search, window, found, pos, block);
}

/* The first position from `pos` on where a block of the basis begins; limit - length + 1 and TL_NONE if there is none. */
static size_t gap(tl_search *search, const uint8_t *window, size_t pos, size_t limit, uint32_t *block)
{
    const tl_sig *sig = search->sig;
    size_t last = limit - sig->block_len, start = pos, hit;
    candidates found = {.count = 0};
    tl_hits hits = {.count = 0};
    tl_roll roll = search->path->weak(window + pos, sig->block_len);
    if (tl_passes(sig->filter, tl_mix(tl_value(roll)))) {
        hits.pos[0] = pos;
        hits.weak[hits.count++] = tl_value(roll);
    }
    for (;;) {
        if (hits.count < search->reach)
            pos = search->path->scan(sig->filter, window, sig->block_len, pos, last, &roll, &hits, search->reach);
        tl_sig_sift(sig, &hits);
        for (unsigned i = 0; i < hits.count; i++) {
            hit = hits.pos[i];
            if (search->wasted < waste_allowed(search, search->scanned + (hit - start))
                && weigh(search, window, hits.weak[i], &found, &hit, block))
                goto hit;
        }
        if (pos >= last)
            break;
        hits.count = 0;
        if (search->reach < TL_HITS)
            search->reach *= 2;
    }
    hit = last + 1;
    if (!settle(search, window, &found, &hit, block)) {
        search->scanned += hit - start;
        *block = TL_NONE;
        return hit;
    }
hit:
    search->scanned += hit - start;
    search->reach = 1;
    return hit;
}

/* What is left at the end of the file may be the basis' last block, which may be short: no sum says how short, so each
 * suffix is tried, the longest first. */
static size_t tail(tl_search *search, const uint8_t *window, size_t pos, size_t limit)
{
    const tl_sig *sig = search->sig;
    uint32_t last = sig->blocks - 1;
    size_t fits[TAIL_TRIES], count = 0;
    tl_roll roll = {0, 0};
    for (size_t at = limit; at-- > pos;) {
        roll.s1 += window[at] + TL_WEAK_OFFSET;
        roll.s2 += (uint32_t)(limit - at) * (window[at] + TL_WEAK_OFFSET);
        if (tl_value(roll) == sig->weak[last])
            fits[count++ % TAIL_TRIES] = at;
    }
    for (size_t tries = count < TAIL_TRIES ? count : TAIL_TRIES; tries-- > 0;) {
        uint8_t strong[TL_STRONG];
        size_t at = fits[--count % TAIL_TRIES];
        tl_md4(window + at, limit - at, strong);
        if (memcmp(sig->strong + (size_t)last * sig->strong_len, strong, sig->strong_len) == 0) {
            tl_emit_literal(&search->emit, window + pos, at - pos);
            tl_emit_copy(&search->emit, (uint64_t)last * sig->block_len, limit - at);
            return limit;
        }
    }
    return pos;
}

size_t tl_search_on(tl_search *search, const uint8_t *window, size_t pos, size_t limit, bool final)
{
    const tl_sig *sig = search->sig;
    size_t len = sig->block_len;
    while (sig->blocks && limit >= pos && limit - pos >= len) {
        if (search->expected != TL_NONE) {
            bool wait = false;
            size_t run = follow(search, window, pos, limit, final, &wait);
            if (wait)
                return pos;
            if (run) {
                tl_emit_copy(&search->emit, (uint64_t)search->expected * len, (uint64_t)run * len);
                pos += run * len;
                search->expected = run < sig->blocks - search->expected ? search->expected + (uint32_t)run : TL_NONE;
                continue;
            }
            search->expected = TL_NONE;
        }
        uint32_t block;
        size_t hit = gap(search, window, pos, limit, &block);
        tl_emit_literal(&search->emit, window + pos, hit - pos);
        pos = hit;
        if (block != TL_NONE) {
            tl_emit_copy(&search->emit, (uint64_t)block * len, len);
            pos += len;
            search->expected = block + 1 < sig->blocks ? block + 1 : TL_NONE;
        }
    }
    if (pos < limit && !sig->blocks) {
        tl_emit_literal(&search->emit, window + pos, limit - pos);
        pos = limit;
    }
    if (final && pos < limit) {
        pos = tail(search, window, pos, limit);
        tl_emit_literal(&search->emit, window + pos, limit - pos);
        pos = limit;
    }
    return pos;
}
