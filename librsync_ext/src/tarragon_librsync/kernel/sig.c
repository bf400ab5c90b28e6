/* A parsed old signature: sums by block, and an index over them that no content can slow down.
 *
 * The index is a sorted list under a table of buckets, not a hash table with chains: a signature in which every weak
 * sum is the same costs a binary search per look-up, not a walk.
 */
#if defined(__linux__)
#define _DEFAULT_SOURCE /* madvise */
#include <sys/mman.h>
#endif
#include <stdlib.h>

#include "inner.h"

#define HUGE_PAGE ((size_t)2 << 20)
#define HEADER 12
#define SMALL_SORT 512

static int order(const tl_sig *sig, uint32_t a, uint32_t b)
{
    uint32_t x = tl_mix(sig->weak[a]), y = tl_mix(sig->weak[b]);
    if (x != y)
        return x < y ? -1 : 1;
    int strong = memcmp(sig->strong + (size_t)a * sig->strong_len, sig->strong + (size_t)b * sig->strong_len,
                        sig->strong_len);
    return strong ? strong : a < b ? -1 : a > b;
}

static void sift(const tl_sig *sig, uint32_t *list, size_t root, size_t count)
{
    uint32_t moved = list[root];
    for (size_t child; (child = 2 * root + 1) < count; root = child) {
        if (child + 1 < count && order(sig, list[child], list[child + 1]) < 0)
            child++;
        if (order(sig, moved, list[child]) >= 0)
            break;
        list[root] = list[child];
    }
    list[root] = moved;
}

/* Heap sort: in place, never quadratic, no recursion, whatever the signature holds. */
static void heap_sort(const tl_sig *sig, uint32_t *list, size_t count)
{
    for (size_t root = count / 2; root-- > 0;)
        sift(sig, list, root, count);
    for (size_t end = count; end-- > 1;) {
        uint32_t top = list[0];
        list[0] = list[end];
        list[end] = top;
        sift(sig, list, 0, end);
    }
}

/* Stable counting sort of block numbers by 11 bits of the mixed weak sum. */
static void radix_pass(const tl_sig *sig, const uint32_t *from, uint32_t *to, unsigned shift)
{
    uint32_t counts[2048] = {0}, sum = 0;
    for (uint32_t i = 0; i < sig->blocks; i++)
        counts[tl_mix(sig->weak[from[i]]) >> shift & 2047]++;
    for (int i = 0; i < 2048; i++) {
        uint32_t here = counts[i];
        counts[i] = sum;
        sum += here;
    }
    for (uint32_t i = 0; i < sig->blocks; i++)
        to[counts[tl_mix(sig->weak[from[i]]) >> shift & 2047]++] = from[i];
}

static bool sort_blocks(tl_sig *sig)
{
    uint32_t count = sig->blocks;
    for (uint32_t i = 0; i < count; i++)
        sig->sorted[i] = i;
    if (count < SMALL_SORT) {
        heap_sort(sig, sig->sorted, count);
        return true;
    }
    uint32_t *other = malloc((size_t)count * sizeof *other);
    if (!other)
        return false;
    radix_pass(sig, sig->sorted, other, 0);
    radix_pass(sig, other, sig->sorted, 11);
    radix_pass(sig, sig->sorted, other, 22);
    memcpy(sig->sorted, other, (size_t)count * sizeof *other);
    free(other);
    for (uint32_t from = 0, to; from < count; from = to) {
        for (to = from + 1; to < count && sig->weak[sig->sorted[to]] == sig->weak[sig->sorted[from]]; to++)
            ;
        if (to - from > 1)
            heap_sort(sig, sig->sorted + from, to - from);
    }
    return true;
}

/* Of blocks with the same sums only the first is kept: one copy is as good as another, and small offsets are shorter. */
static void drop_twins(tl_sig *sig)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < sig->blocks; i++) {
        uint32_t block = sig->sorted[i];
        if (kept && tl_sig_is_block(sig, sig->sorted[kept - 1], sig->weak[block],
                                    sig->strong + (size_t)block * sig->strong_len))
            continue;
        sig->sorted[kept++] = block;
    }
    sig->sorted_count = kept;
}

/* A table that is read at random: in huge pages if it is large, because half of the cost is finding the page. */
static void *table(size_t size)
{
    if (size < HUGE_PAGE)
        return malloc(size);
    size_t whole = (size + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
    void *pages = whole < size ? NULL : aligned_alloc(HUGE_PAGE, whole);
#if defined(MADV_HUGEPAGE)
    if (pages)
        (void)madvise(pages, whole, MADV_HUGEPAGE); /* a hint: nothing depends on it */
#endif
    return pages;
}

/* Between one and two blocks per bucket, 32 to 64 filter bits per block. */
static bool index_blocks(tl_sig *sig)
{
    unsigned bits = 1;
    while (bits < 31 && (1u << bits) < sig->blocks)
        bits++;
    size_t words = (size_t)2 << bits, buckets = (size_t)1 << (bits > 1 ? bits - 1 : 1);
    uint16_t *filter = table(words * sizeof *filter);
    sig->filter = (tl_filter){filter, 31 - bits};
    sig->bucket_shift = bits > 1 ? 33 - bits : 31;
    sig->sorted = table(((size_t)sig->blocks + 1) * sizeof *sig->sorted);
    sig->sorted_mixed = table(((size_t)sig->blocks + 1) * sizeof *sig->sorted_mixed);
    sig->buckets = table((buckets + 1) * sizeof *sig->buckets);
    if (!filter || !sig->sorted || !sig->sorted_mixed || !sig->buckets || !sort_blocks(sig))
        return false;
    drop_twins(sig);
    memset(filter, 0xff, words * sizeof *filter);
    memset(sig->buckets, 0, (buckets + 1) * sizeof *sig->buckets);
    for (uint32_t i = 0; i < sig->sorted_count; i++) {
        uint32_t mixed = sig->sorted_mixed[i] = tl_mix(sig->weak[sig->sorted[i]]);
        filter[mixed >> sig->filter.shift] &= (uint16_t)~tl_bits(mixed);
        sig->buckets[(mixed >> sig->bucket_shift) + 1] = i + 1;
    }
    for (size_t i = 1; i <= buckets; i++)
        if (sig->buckets[i] < sig->buckets[i - 1])
            sig->buckets[i] = sig->buckets[i - 1];
    sig->memory = sizeof *sig + (uint64_t)sig->blocks * (12 + sig->strong_len) + words * 2 + (buckets + 1) * 4;
    return true;
}

static int parse(tl_sig *sig, const uint8_t *data, size_t size)
{
    if (size < HEADER)
        return TL_TRUNCATED;
    if (tl_big32(data) != TL_SIGNATURE_MAGIC)
        return TL_BAD_MAGIC;
    sig->block_len = tl_big32(data + 4);
    sig->strong_len = tl_big32(data + 8);
    if (!sig->block_len || sig->block_len > TL_MAX_BLOCK_LEN || !sig->strong_len || sig->strong_len > TL_STRONG)
        return TL_BAD_HEADER;
    size_t entry = 4 + (size_t)sig->strong_len, blocks = (size - HEADER) / entry;
    if ((size - HEADER) % entry)
        return TL_TRUNCATED;
    if (blocks >= TL_NONE)
        return TL_BAD_HEADER;
    sig->blocks = (uint32_t)blocks;
    sig->weak = malloc((blocks + 1) * sizeof *sig->weak);
    sig->strong = malloc(blocks * sig->strong_len + 1);
    if (!sig->weak || !sig->strong)
        return TL_NO_MEMORY;
    const uint8_t *from = data + HEADER;
    for (size_t i = 0; i < blocks; i++, from += entry) {
        sig->weak[i] = tl_big32(from);
        memcpy(sig->strong + i * sig->strong_len, from + 4, sig->strong_len);
    }
    return index_blocks(sig) ? TL_OK : TL_NO_MEMORY;
}

tl_sig *tl_sig_new(const uint8_t *data, size_t size, int *error)
{
    tl_sig *sig = calloc(1, sizeof *sig);
    *error = sig ? parse(sig, data, size) : TL_NO_MEMORY;
    if (*error) {
        tl_sig_free(sig);
        return NULL;
    }
    return sig;
}

void tl_sig_free(tl_sig *sig)
{
    if (!sig)
        return;
    free(sig->weak);
    free(sig->strong);
    free(sig->sorted);
    free(sig->sorted_mixed);
    free(sig->buckets);
    free((uint16_t *)sig->filter.words);
    free(sig);
}

/* First entry of the bucket whose (mixed, strong) is not below the one looked for; `strong` NULL = below all. */
static uint32_t lower_bound(const tl_sig *sig, uint32_t mixed, const uint8_t *strong, uint32_t *end)
{
    uint32_t bucket = mixed >> sig->bucket_shift, low = sig->buckets[bucket], high = sig->buckets[bucket + 1];
    *end = high;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2, here = sig->sorted_mixed[middle];
        bool below = here < mixed
            || (here == mixed && strong
                && memcmp(sig->strong + (size_t)sig->sorted[middle] * sig->strong_len, strong, sig->strong_len) < 0);
        if (below)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void tl_sig_sift(const tl_sig *sig, tl_hits *hits)
{
    unsigned kept = 0;
    /* Both tables are larger than the caches: ask for all places first, so that the waits overlap. */
    for (unsigned i = 0; i < hits->count; i++)
        __builtin_prefetch(&sig->buckets[tl_mix(hits->weak[i]) >> sig->bucket_shift]);
    for (unsigned i = 0; i < hits->count; i++)
        __builtin_prefetch(&sig->sorted_mixed[sig->buckets[tl_mix(hits->weak[i]) >> sig->bucket_shift]]);
    for (unsigned i = 0; i < hits->count; i++) {
        uint32_t mixed = tl_mix(hits->weak[i]), end, at = lower_bound(sig, mixed, NULL, &end);
        if (at == end || sig->sorted_mixed[at] != mixed)
            continue;
        hits->pos[kept] = hits->pos[i];
        hits->weak[kept++] = hits->weak[i];
    }
    hits->count = kept;
}

uint32_t tl_sig_find(const tl_sig *sig, uint32_t weak, const uint8_t *strong)
{
    uint32_t end, at = lower_bound(sig, tl_mix(weak), strong, &end);
    return at < end && tl_sig_is_block(sig, sig->sorted[at], weak, strong) ? sig->sorted[at] : TL_NONE;
}

uint32_t tl_sig_block_len(const tl_sig *sig)
{
    return sig->block_len;
}

uint32_t tl_sig_strong_len(const tl_sig *sig)
{
    return sig->strong_len;
}

uint32_t tl_sig_blocks(const tl_sig *sig)
{
    return sig->blocks;
}

uint64_t tl_sig_memory(const tl_sig *sig)
{
    return sig->memory;
}
