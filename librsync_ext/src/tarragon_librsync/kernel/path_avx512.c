/* The AVX-512 path: MD4 of 2 x 16 blocks, the weak sum by 64 bytes; the rolling search is that of AVX2. */
#if defined(__x86_64__)
#include <immintrin.h>

#include "inner.h"

#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq")))
#define LANES_TARGET TARGET

typedef uint32_t vec __attribute__((vector_size(64)));
#define vec_all(value) ((vec)_mm512_set1_epi32((int)(value)))
#define TERNARY(x, y, z, table) ((vec)_mm512_ternarylogic_epi32((__m512i)(x), (__m512i)(y), (__m512i)(z), table))
#define vec_f(x, y, z) TERNARY(x, y, z, 0xca)
#define vec_g(x, y, z) TERNARY(x, y, z, 0xe8)
#define vec_h(x, y, z) TERNARY(x, y, z, 0x96)
#define vec_turn(x, by) ((vec)_mm512_rol_epi32((__m512i)(x), by))

/* Four rows of four words each, in every 128-bit part: rows become columns. */
TARGET static inline void turn_quads(__m512i *a, __m512i *b, __m512i *c, __m512i *d)
{
    __m512i ab = _mm512_unpacklo_epi32(*a, *b), AB = _mm512_unpackhi_epi32(*a, *b);
    __m512i cd = _mm512_unpacklo_epi32(*c, *d), CD = _mm512_unpackhi_epi32(*c, *d);
    *a = _mm512_unpacklo_epi64(ab, cd);
    *b = _mm512_unpackhi_epi64(ab, cd);
    *c = _mm512_unpacklo_epi64(AB, CD);
    *d = _mm512_unpackhi_epi64(AB, CD);
}

TARGET static inline void vec_words(const uint8_t *const *lanes, size_t at, vec words[16])
{
    __m512i r[16];
    for (int i = 0; i < 16; i++)
        r[i] = _mm512_loadu_si512(lanes[i] + at);
    for (int i = 0; i < 16; i += 4)
        turn_quads(&r[i], &r[i + 1], &r[i + 2], &r[i + 3]);
    /* Now part p of r[4 i + j] holds word 4 p + j of lanes 4 i .. 4 i + 3. */
    for (int j = 0; j < 4; j++) {
        __m512i low = _mm512_shuffle_i32x4(r[j], r[4 + j], 0x44), high = _mm512_shuffle_i32x4(r[j], r[4 + j], 0xee);
        __m512i low2 = _mm512_shuffle_i32x4(r[8 + j], r[12 + j], 0x44);
        __m512i high2 = _mm512_shuffle_i32x4(r[8 + j], r[12 + j], 0xee);
        words[j] = (vec)_mm512_shuffle_i32x4(low, low2, 0x88);
        words[4 + j] = (vec)_mm512_shuffle_i32x4(low, low2, 0xdd);
        words[8 + j] = (vec)_mm512_shuffle_i32x4(high, high2, 0x88);
        words[12 + j] = (vec)_mm512_shuffle_i32x4(high, high2, 0xdd);
    }
}

#define LANES_WIDTH 16
#define LANES_SETS 1
#define LANES_NAME(x) x##_16
#include "md4_lanes.h"
#define LANES_WIDTH 16
#define LANES_SETS 2
#define LANES_NAME(x) x##_32
#include "md4_lanes.h"

TARGET static void md4(const uint8_t *const *blocks, const size_t *lens, size_t count, uint8_t (*digests)[TL_STRONG])
{
    while (count > 16) {
        size_t here = count < 32 ? count : 32;
        md4_32(blocks, lens, here, digests);
        blocks += here;
        lens += here;
        digests += here;
        count -= here;
    }
    if (count > 1)
        md4_16(blocks, lens, count, digests);
    else if (count)
        tl_md4(blocks[0], lens[0], digests[0]);
}

/* All sums are modulo 2^16, so 16-bit lanes may overflow; 64 * 255 * 2 does not, within the one signed step. */
TARGET static tl_roll weak(const uint8_t *data, size_t len)
{
    const __m512i ones = _mm512_set1_epi8(1), pairs = _mm512_set1_epi16(1);
    uint8_t falling[64];
    for (int i = 0; i < 64; i++)
        falling[i] = (uint8_t)(64 - i);
    const __m512i weights = _mm512_loadu_si512(falling);
    __m512i sum = _mm512_setzero_si512(), before = sum, weighted = sum;
    size_t at = 0;
    for (; at + 64 <= len; at += 64) {
        __m512i bytes = _mm512_loadu_si512(data + at);
        before = _mm512_add_epi16(before, sum);
        sum = _mm512_add_epi16(sum, _mm512_maddubs_epi16(bytes, ones));
        weighted = _mm512_add_epi16(weighted, _mm512_maddubs_epi16(bytes, weights));
    }
    weighted = _mm512_add_epi16(weighted, _mm512_slli_epi16(before, 6));
    uint32_t s1 = (uint32_t)_mm512_reduce_add_epi32(_mm512_madd_epi16(sum, pairs));
    uint32_t s2 = (uint32_t)_mm512_reduce_add_epi32(_mm512_madd_epi16(weighted, pairs));
    return tl_weak_rest((tl_roll){s1, s2}, data + at, len % 64, len);
}

/* The search waits for its table, not for arithmetic: twice as wide a search measured no faster than AVX2's. */
const tl_path tl_path_avx512 = {"avx512", 32, md4, weak, tl_scan_avx2};
#endif
