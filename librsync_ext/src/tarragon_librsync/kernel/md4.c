/* MD4 (RFC 1320) and the weak sum, one block at a time: the path for any CPU. */
#include "inner.h"

#define ROTATE(x, n) (((x) << (n)) | ((x) >> (32 - (n))))
#define F(x, y, z) ((z) ^ ((x) & ((y) ^ (z))))
#define G(x, y, z) (((x) & (y)) | ((z) & ((x) | (y))))
#define H(x, y, z) ((x) ^ (y) ^ (z))
#define STEP(f, a, b, c, d, word, add, turn) \
    a += f(b, c, d) + (word) + (add);        \
    a = ROTATE(a, turn);

#define ROUND1(i) \
    STEP(F, a, b, c, d, x[i], 0, 3) STEP(F, d, a, b, c, x[i + 1], 0, 7) \
    STEP(F, c, d, a, b, x[i + 2], 0, 11) STEP(F, b, c, d, a, x[i + 3], 0, 19)
#define ROUND2(i) \
    STEP(G, a, b, c, d, x[i], 0x5a827999u, 3) STEP(G, d, a, b, c, x[i + 4], 0x5a827999u, 5) \
    STEP(G, c, d, a, b, x[i + 8], 0x5a827999u, 9) STEP(G, b, c, d, a, x[i + 12], 0x5a827999u, 13)
#define ROUND3(i) \
    STEP(H, a, b, c, d, x[i], 0x6ed9eba1u, 3) STEP(H, d, a, b, c, x[i + 8], 0x6ed9eba1u, 9) \
    STEP(H, c, d, a, b, x[i + 4], 0x6ed9eba1u, 11) STEP(H, b, c, d, a, x[i + 12], 0x6ed9eba1u, 15)

void tl_md4_compress(uint32_t state[4], const uint8_t *data, size_t chunks)
{
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    for (; chunks; chunks--, data += 64) {
        uint32_t x[16], a0 = a, b0 = b, c0 = c, d0 = d;
        for (int i = 0; i < 16; i++)
            x[i] = tl_little32(data + 4 * i);
        ROUND1(0) ROUND1(4) ROUND1(8) ROUND1(12)
        ROUND2(0) ROUND2(1) ROUND2(2) ROUND2(3)
        ROUND3(0) ROUND3(2) ROUND3(1) ROUND3(3)
        a += a0;
        b += b0;
        c += c0;
        d += d0;
    }
    state[0] = a;
    state[1] = b;
    state[2] = c;
    state[3] = d;
}

void tl_md4(const uint8_t *data, size_t len, uint8_t digest[TL_STRONG])
{
    uint32_t state[4] = {0x67452301u, 0xefcdab89u, 0x98badcfeu, 0x10325476u};
    uint8_t tail[128] = {0};
    size_t rest = len % 64, padded = rest < 56 ? 64 : 128;
    uint64_t bits = (uint64_t)len * 8;

    tl_md4_compress(state, data, len / 64);
    if (rest)
        memcpy(tail, data + (len - rest), rest);
    tail[rest] = 0x80;
    for (int i = 0; i < 8; i++)
        tail[padded - 8 + i] = (uint8_t)(bits >> (8 * i));
    tl_md4_compress(state, tail, padded / 64);
    for (int i = 0; i < 16; i++)
        digest[i] = (uint8_t)(state[i / 4] >> (8 * (i % 4)));
}

static void md4_each(const uint8_t *const *blocks, const size_t *lens, size_t count, uint8_t (*digests)[TL_STRONG])
{
    for (size_t i = 0; i < count; i++)
        tl_md4(blocks[i], lens[i], digests[i]);
}

static tl_roll weak_scalar(const uint8_t *data, size_t len)
{
    uint32_t s1 = 0, s2 = 0;
    for (size_t i = 0; i < len; i++) {
        s1 += data[i] + TL_WEAK_OFFSET;
        s2 += s1;
    }
    return (tl_roll){s1, s2};
}

const tl_path tl_path_scalar = {"scalar", 1, md4_each, weak_scalar, tl_scan_plain};
