/* The AVX2 path: MD4 of 3 x 8 blocks, the weak sum by 32 bytes, the rolling search by 16 positions. */
#if defined(__x86_64__)
#include <immintrin.h>

#include "inner.h"

#define TARGET __attribute__((target("avx2")))
#define LANES_TARGET TARGET

typedef uint32_t vec __attribute__((vector_size(32)));
#define vec_all(value) ((vec)_mm256_set1_epi32((int)(value)))
#define vec_f(x, y, z) ((z) ^ ((x) & ((y) ^ (z))))
#define vec_g(x, y, z) (((x) & ((y) | (z))) | ((y) & (z))) /* x comes last: the shorter way from it counts */
#define vec_h(x, y, z) ((x) ^ (y) ^ (z))
#define vec_turn(x, by) vec_rotated(x, by)

TARGET static inline vec vec_rotated(vec x, int by)
{
    return x << by | x >> (32 - by);
}

/* Eight words of eight lanes: rows become columns. */
TARGET static inline void vec_half(const uint8_t *const *lanes, size_t at, vec words[8])
{
    __m256i r[8], t[8];
    for (int i = 0; i < 4; i++) { /* row i: words 0-3 of lane i, then of lane i + 4; row 4 + i: words 4-7 */
        const __m128i *one = (const __m128i *)(lanes[i] + at), *two = (const __m128i *)(lanes[i + 4] + at);
        r[i] = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(one)), _mm_loadu_si128(two), 1);
        r[4 + i] = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(one + 1)), _mm_loadu_si128(two + 1),
                                           1);
    }
    for (int i = 0; i < 8; i += 4) {
        t[0] = _mm256_unpacklo_epi32(r[i], r[i + 1]);
        t[1] = _mm256_unpackhi_epi32(r[i], r[i + 1]);
        t[2] = _mm256_unpacklo_epi32(r[i + 2], r[i + 3]);
        t[3] = _mm256_unpackhi_epi32(r[i + 2], r[i + 3]);
        words[i] = (vec)_mm256_unpacklo_epi64(t[0], t[2]);
        words[i + 1] = (vec)_mm256_unpackhi_epi64(t[0], t[2]);
        words[i + 2] = (vec)_mm256_unpacklo_epi64(t[1], t[3]);
        words[i + 3] = (vec)_mm256_unpackhi_epi64(t[1], t[3]);
    }
}

TARGET static inline void vec_words(const uint8_t *const *lanes, size_t at, vec words[16])
{
    vec_half(lanes, at, words);
    vec_half(lanes, at + 32, words + 8);
}

#define LANES_WIDTH 8
#define LANES_SETS 1
#define LANES_NAME(x) x##_8
#include "md4_lanes.h"
#define LANES_WIDTH 8
#define LANES_SETS 3
#define LANES_NAME(x) x##_24
#include "md4_lanes.h"

TARGET static void md4(const uint8_t *const *blocks, const size_t *lens, size_t count, uint8_t (*digests)[TL_STRONG])
{
    while (count > 8) {
        size_t here = count < 24 ? count : 24;
        md4_24(blocks, lens, here, digests);
        blocks += here;
        lens += here;
        digests += here;
        count -= here;
    }
    if (count > 1)
        md4_8(blocks, lens, count, digests);
    else if (count)
        tl_md4(blocks[0], lens[0], digests[0]);
}

TARGET static inline uint32_t total(__m256i sums)
{
    __m256i wide = _mm256_madd_epi16(sums, _mm256_set1_epi16(1));
    __m128i x = _mm_add_epi32(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1));
    x = _mm_add_epi32(x, _mm_shuffle_epi32(x, 0x4e));
    x = _mm_add_epi32(x, _mm_shuffle_epi32(x, 0xb1));
    return (uint32_t)_mm_cvtsi128_si32(x);
}

/* All sums are modulo 2^16, so 16-bit lanes may overflow; 32 * 255 * 2 does not, within the one signed step. */
TARGET static tl_roll weak(const uint8_t *data, size_t len)
{
    const __m256i ones = _mm256_set1_epi8(1);
    const __m256i weights = _mm256_setr_epi8(32, 31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15, 14, 13,
                                             12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1);
    __m256i sum = _mm256_setzero_si256(), before = sum, weighted = sum;
    size_t at = 0;
    for (; at + 32 <= len; at += 32) {
        __m256i bytes = _mm256_loadu_si256((const __m256i *)(data + at));
        before = _mm256_add_epi16(before, sum);
        sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(bytes, ones));
        weighted = _mm256_add_epi16(weighted, _mm256_maddubs_epi16(bytes, weights));
    }
    weighted = _mm256_add_epi16(weighted, _mm256_slli_epi16(before, 5));
    return tl_weak_rest((tl_roll){total(sum), total(weighted)}, data + at, len % 32, len);
}

/* Inclusive sums over 16 lanes of 16 bits. */
TARGET static inline __m256i running(__m256i x)
{
    x = _mm256_add_epi16(x, _mm256_slli_si256(x, 2));
    x = _mm256_add_epi16(x, _mm256_slli_si256(x, 4));
    x = _mm256_add_epi16(x, _mm256_slli_si256(x, 8));
    __m256i low = _mm256_permute2x128_si256(x, x, 0x08); /* nothing, then the low half */
    return _mm256_add_epi16(x, _mm256_shuffle_epi8(low, _mm256_set1_epi16(0x0f0e)));
}

/* The last of 16 lanes in all of them. */
TARGET static inline __m256i last_lane(__m256i x)
{
    return _mm256_shuffle_epi8(_mm256_permute2x128_si256(x, x, 0x11), _mm256_set1_epi16(0x0f0e));
}

/* For 16 positions: where each one's word stands in the filter, and its bits there. */
typedef struct {
    uint32_t words[16]; /* of positions 0-3, 8-11, 4-7, 12-15: unpacking works within 128-bit halves */
    uint16_t bits[16];
} places;

TARGET static inline void place(tl_filter filter, __m256i s1, __m256i s2, places *to)
{
    const __m128i shift = _mm_cvtsi32_si128((int)filter.shift);
    const __m256i powers = _mm256_set1_epi64x((long long)0x8040201008040201u);
    __m256i high = _mm256_add_epi16(s2, _mm256_mullo_epi16(s1, _mm256_set1_epi16((short)TL_MIX_HIGH)));
    __m256i low = _mm256_add_epi16(_mm256_mullo_epi16(s1, _mm256_set1_epi16((short)TL_MIX_LOW1)),
                                   _mm256_mullo_epi16(s2, _mm256_set1_epi16((short)TL_MIX_LOW2)));
    __m256i mixed0 = _mm256_unpacklo_epi16(low, high), mixed1 = _mm256_unpackhi_epi16(low, high);
    __m256i bits = _mm256_shuffle_epi8(powers, _mm256_and_si256(low, _mm256_set1_epi8(7)));
    _mm256_storeu_si256((__m256i *)to->words, _mm256_srl_epi32(mixed0, shift));
    _mm256_storeu_si256((__m256i *)(to->words + 8), _mm256_srl_epi32(mixed1, shift));
    _mm256_storeu_si256((__m256i *)to->bits, bits);
}

/* The filter's words of eight positions. Single loads: no slower than the gather instruction where that is fast, and much
 * faster where it is microcode. */
TARGET static inline __m128i fetched(const uint16_t *words, const uint32_t *at)
{
    __m128i got = _mm_cvtsi32_si128(words[at[0]]);
    got = _mm_insert_epi16(got, words[at[1]], 1);
    got = _mm_insert_epi16(got, words[at[2]], 2);
    got = _mm_insert_epi16(got, words[at[3]], 3);
    got = _mm_insert_epi16(got, words[at[8]], 4);
    got = _mm_insert_epi16(got, words[at[9]], 5);
    got = _mm_insert_epi16(got, words[at[10]], 6);
    return _mm_insert_epi16(got, words[at[11]], 7);
}

/* Which of 16 positions pass the filter: two bits each. */
TARGET static inline unsigned passing(tl_filter filter, __m256i s1, __m256i s2)
{
    places at;
    place(filter, s1, s2, &at);
    __asm__("" : "+m"(at)); /* through memory: taking lanes out one by one is slower */
    __m256i words = _mm256_inserti128_si256(_mm256_castsi128_si256(fetched(filter.words, at.words)),
                                            fetched(filter.words, at.words + 4), 1);
    __m256i left = _mm256_and_si256(words, _mm256_loadu_si256((const __m256i *)at.bits));
    return (unsigned)_mm256_movemask_epi8(_mm256_cmpeq_epi16(left, _mm256_setzero_si256()));
}

TARGET size_t tl_scan_avx2(tl_filter filter, const uint8_t *data, size_t len, size_t pos, size_t last, tl_roll *roll,
                           tl_hits *hits, unsigned room)
{
    const __m256i length = _mm256_set1_epi16((short)len);
    const __m256i constant = _mm256_set1_epi16((short)(len * TL_WEAK_OFFSET));
    __m256i s1 = _mm256_set1_epi16((short)roll->s1), s2 = _mm256_set1_epi16((short)roll->s2);
    for (; pos + 16 <= last; pos += 16) {
        __m256i old = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(data + pos)));
        __m256i new = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(data + pos + len)));
        __m256i leaving = _mm256_add_epi16(_mm256_mullo_epi16(old, length), constant);
        __m256i first = _mm256_add_epi16(s1, running(_mm256_sub_epi16(new, old)));
        __m256i second = _mm256_add_epi16(s2, running(_mm256_sub_epi16(first, leaving)));
        unsigned hit = passing(filter, first, second);
        if (__builtin_expect(hit != 0, 0)) {
            uint16_t firsts[16], seconds[16];
            _mm256_storeu_si256((__m256i *)firsts, first);
            _mm256_storeu_si256((__m256i *)seconds, second);
            for (; hit; hit &= hit - 1, hit &= hit - 1) {
                unsigned at = (unsigned)__builtin_ctz(hit) / 2;
                *roll = (tl_roll){firsts[at], seconds[at]};
                hits->pos[hits->count] = pos + at + 1;
                hits->weak[hits->count++] = tl_value(*roll);
                if (hits->count == room)
                    return pos + at + 1;
            }
        }
        s1 = last_lane(first);
        s2 = last_lane(second);
    }
    *roll = (tl_roll){(uint16_t)_mm_cvtsi128_si32(_mm256_castsi256_si128(s1)),
                      (uint16_t)_mm_cvtsi128_si32(_mm256_castsi256_si128(s2))};
    return tl_scan_plain(filter, data, len, pos, last, roll, hits, room);
}

const tl_path tl_path_avx2 = {"avx2", 24, md4, weak, tl_scan_avx2};
#endif
