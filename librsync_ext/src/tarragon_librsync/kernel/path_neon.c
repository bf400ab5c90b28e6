/* The NEON path: MD4 of 4 x 4 blocks, the weak sum by 16 bytes, the rolling search by 8 positions. */
#if defined(__aarch64__) && !defined(__AARCH64EB__)
#include <arm_neon.h>

#include "inner.h"

#define LANES_TARGET

typedef uint32x4_t vec;
#define vec_all(value) vdupq_n_u32(value)
#define vec_f(x, y, z) vbslq_u32(x, y, z)
#define vec_g(x, y, z) vbslq_u32(veorq_u32(x, y), z, y)
#define vec_h(x, y, z) veorq_u32(veorq_u32(x, y), z)
#define vec_turn(x, by) vec_turned(x, by)
#define vec_turned(x, by) __extension__({ vec sum_ = (x); vsriq_n_u32(vshlq_n_u32(sum_, by), sum_, 32 - (by)); })

static inline void vec_words(const uint8_t *const *lanes, size_t at, vec words[16])
{
    for (int i = 0; i < 16; i += 4) { /* four words of four lanes: rows become columns */
        vec r[4];
        for (int lane = 0; lane < 4; lane++)
            r[lane] = vreinterpretq_u32_u8(vld1q_u8(lanes[lane] + at + 4 * i));
        uint64x2_t ab = vreinterpretq_u64_u32(vzip1q_u32(r[0], r[1])), cd = vreinterpretq_u64_u32(vzip1q_u32(r[2], r[3]));
        uint64x2_t AB = vreinterpretq_u64_u32(vzip2q_u32(r[0], r[1])), CD = vreinterpretq_u64_u32(vzip2q_u32(r[2], r[3]));
        words[i] = vreinterpretq_u32_u64(vzip1q_u64(ab, cd));
        words[i + 1] = vreinterpretq_u32_u64(vzip2q_u64(ab, cd));
        words[i + 2] = vreinterpretq_u32_u64(vzip1q_u64(AB, CD));
        words[i + 3] = vreinterpretq_u32_u64(vzip2q_u64(AB, CD));
    }
}

#define LANES_WIDTH 4
#define LANES_SETS 1
#define LANES_NAME(x) x##_4
#include "md4_lanes.h"
#define LANES_WIDTH 4
#define LANES_SETS 4
#define LANES_NAME(x) x##_16
#include "md4_lanes.h"

static void md4(const uint8_t *const *blocks, const size_t *lens, size_t count, uint8_t (*digests)[TL_STRONG])
{
    while (count > 1) {
        size_t here = count < 16 ? count : 16;
        if (here > 8) {
            md4_16(blocks, lens, here, digests);
        } else {
            here = here < 4 ? here : 4;
            md4_4(blocks, lens, here, digests);
        }
        blocks += here;
        lens += here;
        digests += here;
        count -= here;
    }
    if (count)
        tl_md4(blocks[0], lens[0], digests[0]);
}

/* All sums are modulo 2^16, so 16-bit lanes may overflow. */
static tl_roll weak(const uint8_t *data, size_t len)
{
    static const uint8_t falling[16] = {16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1};
    const uint8x16_t weights = vld1q_u8(falling);
    uint16x8_t sum = vdupq_n_u16(0), before = sum, weighted = sum;
    size_t at = 0;
    for (; at + 16 <= len; at += 16) {
        uint8x16_t bytes = vld1q_u8(data + at);
        before = vaddq_u16(before, sum);
        sum = vpadalq_u8(sum, bytes);
        weighted = vmlal_u8(weighted, vget_low_u8(bytes), vget_low_u8(weights));
        weighted = vmlal_high_u8(weighted, bytes, weights);
    }
    weighted = vaddq_u16(weighted, vshlq_n_u16(before, 4));
    return tl_weak_rest((tl_roll){vaddlvq_u16(sum), vaddlvq_u16(weighted)}, data + at, len % 16, len);
}

/* Inclusive sums over 8 lanes of 16 bits. */
static inline uint16x8_t running(uint16x8_t x)
{
    const uint16x8_t none = vdupq_n_u16(0);
    x = vaddq_u16(x, vextq_u16(none, x, 7));
    x = vaddq_u16(x, vextq_u16(none, x, 6));
    return vaddq_u16(x, vextq_u16(none, x, 4));
}

static size_t scan(tl_filter filter, const uint8_t *data, size_t len, size_t pos, size_t last, tl_roll *roll,
                   tl_hits *hits, unsigned room)
{
    const uint16x8_t length = vdupq_n_u16((uint16_t)len), constant = vdupq_n_u16((uint16_t)(len * TL_WEAK_OFFSET));
    uint16x8_t s1 = vdupq_n_u16((uint16_t)roll->s1), s2 = vdupq_n_u16((uint16_t)roll->s2);
    for (; pos + 8 <= last; pos += 8) {
        uint16x8_t old = vmovl_u8(vld1_u8(data + pos)), new = vmovl_u8(vld1_u8(data + pos + len));
        uint16x8_t leaving = vmlaq_u16(constant, old, length);
        uint16x8_t first = vaddq_u16(s1, running(vsubq_u16(new, old)));
        uint16x8_t second = vaddq_u16(s2, running(vsubq_u16(first, leaving)));
        uint32_t sums[8];
        vst1q_u32(sums, vreinterpretq_u32_u16(vzip1q_u16(first, second)));
        vst1q_u32(sums + 4, vreinterpretq_u32_u16(vzip2q_u16(first, second)));
        for (unsigned i = 0; i < 8; i++) {
            if (!tl_passes(filter, tl_mix(sums[i])))
                continue;
            hits->pos[hits->count] = pos + i + 1;
            hits->weak[hits->count++] = sums[i];
            if (hits->count == room) {
                *roll = (tl_roll){sums[i] & 0xffffu, sums[i] >> 16};
                return pos + i + 1;
            }
        }
        s1 = vdupq_laneq_u16(first, 7);
        s2 = vdupq_laneq_u16(second, 7);
    }
    *roll = (tl_roll){vgetq_lane_u16(s1, 0), vgetq_lane_u16(s2, 0)};
    return tl_scan_plain(filter, data, len, pos, last, roll, hits, room);
}

const tl_path tl_path_neon = {"neon", 16, md4, weak, scan};
#endif
