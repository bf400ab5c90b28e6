/* What the kernel's own files share: instruction paths, the parsed signature, byte order, growing output. */
#ifndef TARRAGON_INNER_H
#define TARRAGON_INNER_H

#include <stdbool.h>
#include <string.h>

#include "kernel.h"

#define TL_SIGNATURE_MAGIC 0x72730136u /* rollsum + MD4 (docs/format.md § 5) */
#define TL_DELTA_MAGIC 0x72730236u
#define TL_MAX_BLOCK_LEN (64u << 20) /* 3.2.1's rule reaches it at 4 PiB; larger can only be an attack on memory */
#define TL_STRONG 16                 /* bytes of a whole MD4 */
#define TL_WEAK_OFFSET 31            /* added to each byte by the weak sum (docs/format.md § 5.1) */
#define TL_MAX_LANES 32

/* A filter over weak sums: each belongs to one 16-bit word, chosen by the top bits of its mix, and clears one bit of each
 * of its bytes. A sum whose two bits are not both clear is not in the filter. (Cleared, not set, so that one AND tells.) */
typedef struct {
    const uint16_t *words;
    unsigned shift; /* 32 - log2(number of words); never 32, so there are at least two words */
} tl_filter;

/* The rolling state at a position: both halves of the weak sum, modulo 2^16 when read. */
typedef struct {
    uint32_t s1, s2;
} tl_roll;

/* Positions whose weak sum passes the filter. */
#define TL_HITS 64u
typedef struct {
    size_t pos[TL_HITS];
    uint32_t weak[TL_HITS];
    unsigned count;
} tl_hits;

/* One instruction path. All paths give the same results; they differ in speed only. */
typedef struct {
    const char *name;
    unsigned lanes; /* how many blocks md4 hashes best at a time; at most TL_MAX_LANES */
    /* MD4 of any number of blocks, all of which take the same number of 64-byte chunks when padded. */
    void (*md4)(const uint8_t *const *blocks, const size_t *lens, size_t count, uint8_t (*digests)[TL_STRONG]);
    /* Rolling state of `len` bytes. */
    tl_roll (*weak)(const uint8_t *data, size_t len);
    /* Roll from `pos` (state given, already tested) and gather the positions in pos+1..last that pass the filter, until
     * `room` are found or `last` is tested. Returns the last position tested, its state in *roll. Reads
     * data[pos..last+len-1]. */
    size_t (*scan)(tl_filter filter, const uint8_t *data, size_t len, size_t pos, size_t last, tl_roll *roll,
                   tl_hits *hits, unsigned room);
} tl_path;

extern const tl_path tl_path_scalar;
#if defined(__x86_64__)
extern const tl_path tl_path_avx2;
extern const tl_path tl_path_avx512;
size_t tl_scan_avx2(tl_filter filter, const uint8_t *data, size_t len, size_t pos, size_t last, tl_roll *roll,
                    tl_hits *hits, unsigned room);
#elif defined(__aarch64__) && !defined(__AARCH64EB__)
extern const tl_path tl_path_neon;
#endif
const tl_path *tl_path_chosen(void);

/* One MD4, any length; the reference the vector paths are tested against and their helper for odd blocks. */
void tl_md4(const uint8_t *data, size_t len, uint8_t digest[TL_STRONG]);
void tl_md4_compress(uint32_t state[4], const uint8_t *data, size_t chunks);

static inline uint32_t tl_value(tl_roll roll)
{
    return (roll.s2 << 16) | (roll.s1 & 0xffffu);
}

/* A bijection of 32 bits whose top bits and low bits are both well spread: weak sums are neither. It takes products of the
 * 16-bit halves only, which vectors do for twice as many positions at a time. */
#define TL_MIX_HIGH 0x9e37u  /* high = s2 + this * s1 */
#define TL_MIX_LOW1 0xca6bu  /* low = this * s1 + that * s2; odd and even, so that nothing is lost */
#define TL_MIX_LOW2 0x85ecu

static inline uint32_t tl_mix(uint32_t weak)
{
    uint32_t s1 = weak & 0xffffu, s2 = weak >> 16;
    return (s2 + TL_MIX_HIGH * s1) << 16 | ((TL_MIX_LOW1 * s1 + TL_MIX_LOW2 * s2) & 0xffffu);
}

static inline uint16_t tl_bits(uint32_t mixed)
{
    return (uint16_t)(1u << (mixed & 7) | 0x100u << (mixed >> 8 & 7));
}

static inline bool tl_passes(tl_filter filter, uint32_t mixed)
{
    return !(filter.words[mixed >> filter.shift] & tl_bits(mixed));
}

/* Move the window of `len` bytes one byte on: `old` leaves it, `new` enters. */
static inline tl_roll tl_rolled(tl_roll roll, uint32_t len, uint8_t old, uint8_t new)
{
    roll.s1 += (uint32_t)new - (uint32_t)old;
    roll.s2 += roll.s1 - len * ((uint32_t)old + TL_WEAK_OFFSET);
    return roll;
}

/* The plain search, and the end of each vector search. */
static inline size_t tl_scan_plain(tl_filter filter, const uint8_t *data, size_t len, size_t pos, size_t last,
                                   tl_roll *roll, tl_hits *hits, unsigned room)
{
    tl_roll now = *roll;
    while (pos < last && hits->count < room) {
        now = tl_rolled(now, (uint32_t)len, data[pos], data[pos + len]);
        pos++;
        if (tl_passes(filter, tl_mix(tl_value(now)))) {
            hits->pos[hits->count] = pos;
            hits->weak[hits->count++] = tl_value(now);
        }
    }
    *roll = now;
    return pos;
}

/* The end of each vector weak sum: the last bytes, then what the offset of all `len` bytes adds up to. */
static inline tl_roll tl_weak_rest(tl_roll roll, const uint8_t *rest, size_t rest_len, size_t len)
{
    uint64_t all = len;
    for (size_t i = 0; i < rest_len; i++) {
        roll.s1 += rest[i];
        roll.s2 += roll.s1;
    }
    roll.s1 += (uint32_t)(all * TL_WEAK_OFFSET);
    roll.s2 += (uint32_t)(all * (all + 1) / 2 * TL_WEAK_OFFSET);
    return roll;
}

/* MD4 of blocks that all have the same length, at most TL_MAX_LANES. */
static inline void tl_md4_equal(const tl_path *path, const uint8_t *const *blocks, size_t count, size_t len,
                                uint8_t (*digests)[TL_STRONG])
{
    size_t lens[TL_MAX_LANES] = {len};
    for (size_t i = 0; i < count; i++)
        lens[i] = len;
    path->md4(blocks, lens, count, digests);
}

/* A parsed signature. Nothing in it changes after tl_sig_new, so any number of threads may read it. */
struct tl_sig {
    uint32_t block_len, strong_len, blocks;
    uint32_t sorted_count;  /* blocks without later twins */
    uint32_t *weak;         /* by block */
    uint8_t *strong;        /* by block, strong_len bytes each */
    uint32_t *sorted;       /* block numbers by (mixed weak sum, strong sum, number) */
    uint32_t *sorted_mixed; /* their mixed weak sums, so that a look-up touches one place */
    uint32_t *buckets;      /* first entry of `sorted` for each value of the mixed sum's top bits, and one more */
    unsigned bucket_shift;
    tl_filter filter;
    uint64_t memory;
};

#define TL_NONE UINT32_MAX
/* Keep those hits whose weak sum really is in the signature. */
void tl_sig_sift(const tl_sig *sig, tl_hits *hits);
uint32_t tl_sig_find(const tl_sig *sig, uint32_t weak, const uint8_t *strong);

static inline bool tl_sig_is_block(const tl_sig *sig, uint32_t block, uint32_t weak, const uint8_t *strong)
{
    return sig->weak[block] == weak
        && memcmp(sig->strong + (size_t)block * sig->strong_len, strong, sig->strong_len) == 0;
}

/* Output that grows; `failed` stays set after the first failure, so callers may check once at the end. */
typedef struct {
    uint8_t *bytes;
    size_t size, room;
    bool failed;
} tl_out;

uint8_t *tl_out_space(tl_out *out, size_t size); /* room for `size` more bytes, or NULL; does not change out->size */
void tl_out_put(tl_out *out, const uint8_t *data, size_t size);
void tl_out_clear(tl_out *out); /* forget the content; give back memory beyond what a usual step needs */

static inline void tl_put32(uint8_t *to, uint32_t value)
{
    to[0] = (uint8_t)(value >> 24);
    to[1] = (uint8_t)(value >> 16);
    to[2] = (uint8_t)(value >> 8);
    to[3] = (uint8_t)value;
}

static inline uint32_t tl_big32(const uint8_t *from)
{
    return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 | from[3];
}

static inline uint32_t tl_little32(const uint8_t *from)
{
    return (uint32_t)from[3] << 24 | (uint32_t)from[2] << 16 | (uint32_t)from[1] << 8 | from[0];
}

/* The delta writer (emit.c): copies that follow each other in the basis become one command. */
typedef struct {
    tl_out out;
    uint64_t copy_offset, copy_length; /* a copy not yet written; length 0 = none */
} tl_emit;

void tl_emit_literal(tl_emit *emit, const uint8_t *data, size_t size);
void tl_emit_copy(tl_emit *emit, uint64_t offset, uint64_t length);
void tl_emit_flush(tl_emit *emit);

/* Sums of the new file's own aligned blocks, kept for a while so that the search need not compute them again. */
#define TL_RING 2048u
typedef struct {
    uint64_t first, end; /* block numbers (from the start of this range) that are known: end - first <= TL_RING */
    uint32_t weak[TL_RING];
    uint8_t strong[TL_RING][TL_STRONG];
} tl_ring;

/* The search (search.c): where it stands in the new content. */
typedef struct {
    const tl_path *path;
    const tl_sig *sig;
    const tl_ring *ring;  /* NULL: no sums of aligned blocks at hand */
    tl_emit emit;
    uint64_t window_at;   /* how many bytes of this range came before the window */
    uint32_t expected;    /* the block that follows the last copy, TL_NONE while searching */
    unsigned reach;       /* how many hits of the filter to gather before looking closer */
    unsigned batch;       /* how many candidates to gather before hashing them */
    unsigned group;       /* how many blocks to hash at a time after a hit */
    uint64_t scanned, wasted; /* positions searched; bytes hashed for candidates that were none */
} tl_search;

/* Search window[pos..limit) and return the new position; stops short where more data could change the answer. */
size_t tl_search_on(tl_search *search, const uint8_t *window, size_t pos, size_t limit, bool final);

#endif
