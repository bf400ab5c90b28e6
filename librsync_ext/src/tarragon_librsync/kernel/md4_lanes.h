/* MD4 of many blocks at once: a template. One 32-bit lane of a vector per block, and several vectors in turn, because MD4
 * is one chain of dependent steps and a single vector would leave half of the CPU idle.
 *
 * The including file defines
 *   LANES_TARGET    attributes of every function (the instruction set)
 *   LANES_WIDTH     32-bit lanes per vector; LANES_SETS: vectors in turn
 *   LANES_NAME(x)   the names of this instance
 *   vec             the vector type, with + as lane-wise addition
 *   vec_all(u32), vec_f, vec_g, vec_h (x, y, z), vec_turn(x, constant)
 *   vec_words(lanes, at, words)   words[i] = word i of the 64 bytes at `at` of each lane
 */
#define LANES_COUNT (LANES_WIDTH * LANES_SETS)

/* Loops over sets are unrolled, so that compilers keep the arrays in registers. */
#define EACH_SET _Pragma("GCC unroll 8") for (int s = 0; s < LANES_SETS; s++)

#define STEP1(a, b, c, d, word, turn) \
    EACH_SET a[s] = vec_turn(a[s] + x[s][word] + vec_f(b[s], c[s], d[s]), turn);
#define STEP2(a, b, c, d, word, turn) \
    EACH_SET a[s] = vec_turn(a[s] + (x[s][word] + k2) + vec_g(b[s], c[s], d[s]), turn);
#define STEP3(a, b, c, d, word, turn) \
    EACH_SET a[s] = vec_turn(a[s] + (x[s][word] + k3) + vec_h(b[s], c[s], d[s]), turn);
#define ROUND1(i) \
    STEP1(a, b, c, d, i, 3) STEP1(d, a, b, c, i + 1, 7) STEP1(c, d, a, b, i + 2, 11) STEP1(b, c, d, a, i + 3, 19)
#define ROUND2(i) \
    STEP2(a, b, c, d, i, 3) STEP2(d, a, b, c, i + 4, 5) STEP2(c, d, a, b, i + 8, 9) STEP2(b, c, d, a, i + 12, 13)
#define ROUND3(i) \
    STEP3(a, b, c, d, i, 3) STEP3(d, a, b, c, i + 8, 9) STEP3(c, d, a, b, i + 4, 11) STEP3(b, c, d, a, i + 12, 15)

typedef struct {
    vec a[LANES_SETS], b[LANES_SETS], c[LANES_SETS], d[LANES_SETS];
} LANES_NAME(state);

LANES_TARGET static inline void LANES_NAME(mix)(LANES_NAME(state) *state, vec x[LANES_SETS][16])
{
    vec a[LANES_SETS], b[LANES_SETS], c[LANES_SETS], d[LANES_SETS];
    const vec k2 = vec_all(0x5a827999u), k3 = vec_all(0x6ed9eba1u);
    EACH_SET
    {
        a[s] = state->a[s];
        b[s] = state->b[s];
        c[s] = state->c[s];
        d[s] = state->d[s];
    }
    ROUND1(0) ROUND1(4) ROUND1(8) ROUND1(12)
    ROUND2(0) ROUND2(1) ROUND2(2) ROUND2(3)
    ROUND3(0) ROUND3(2) ROUND3(1) ROUND3(3)
    EACH_SET
    {
        state->a[s] += a[s];
        state->b[s] += b[s];
        state->c[s] += c[s];
        state->d[s] += d[s];
    }
}

/* The chunks that end each message: what is left of it, 0x80, zeros, its length in bits. */
LANES_TARGET static void LANES_NAME(close)(LANES_NAME(state) *state, const uint8_t *const *blocks, const size_t *lens,
                                           size_t count)
{
    uint8_t tails[LANES_COUNT][128];
    const uint8_t *lanes[LANES_COUNT];
    vec x[LANES_SETS][16];
    size_t padded = lens[0] % 64 < 56 ? 64 : 128;
    for (size_t i = 0; i < LANES_COUNT; i++) {
        size_t rest = i < count ? lens[i] % 64 : 0;
        lanes[i] = tails[i];
        memset(tails[i], 0, padded);
        if (i >= count)
            continue;
        uint64_t bits = (uint64_t)lens[i] * 8;
        memcpy(tails[i], blocks[i] + (lens[i] - rest), rest);
        tails[i][rest] = 0x80;
        for (int byte = 0; byte < 8; byte++)
            tails[i][padded - 8 + byte] = (uint8_t)(bits >> (8 * byte));
    }
    for (size_t at = 0; at < padded; at += 64) {
        EACH_SET vec_words(lanes + s * LANES_WIDTH, at, x[s]);
        LANES_NAME(mix)(state, x);
    }
}

/* The same where all lengths are equal and no bytes are left over: one constant chunk for all lanes. */
LANES_TARGET static void LANES_NAME(close_even)(LANES_NAME(state) *state, size_t len)
{
    vec x[LANES_SETS][16];
    uint64_t bits = (uint64_t)len * 8;
    EACH_SET
    {
        for (int i = 0; i < 16; i++)
            x[s][i] = vec_all(0);
        x[s][0] = vec_all(0x80);
        x[s][14] = vec_all((uint32_t)bits);
        x[s][15] = vec_all((uint32_t)(bits >> 32));
    }
    LANES_NAME(mix)(state, x);
}

/* MD4 of 1 to LANES_COUNT blocks whose padded lengths take the same number of 64-byte chunks. */
LANES_TARGET static void LANES_NAME(md4)(const uint8_t *const *blocks, const size_t *lens, size_t count,
                                         uint8_t (*digests)[TL_STRONG])
{
    const uint8_t *lanes[LANES_COUNT];
    LANES_NAME(state) state;
    vec x[LANES_SETS][16];
    uint32_t words[4][LANES_COUNT];
    size_t whole = lens[0] & ~(size_t)63;
    bool even = true;
    for (size_t i = 0; i < LANES_COUNT; i++) {
        lanes[i] = blocks[i < count ? i : 0]; /* idle lanes repeat the first block */
        even = even && lens[i < count ? i : 0] == whole;
    }
    EACH_SET
    {
        state.a[s] = vec_all(0x67452301u);
        state.b[s] = vec_all(0xefcdab89u);
        state.c[s] = vec_all(0x98badcfeu);
        state.d[s] = vec_all(0x10325476u);
    }
    for (size_t at = 0; at < whole; at += 64) {
        EACH_SET vec_words(lanes + s * LANES_WIDTH, at, x[s]);
        LANES_NAME(mix)(&state, x);
    }
    if (even)
        LANES_NAME(close_even)(&state, whole);
    else
        LANES_NAME(close)(&state, blocks, lens, count);
    EACH_SET
    {
        memcpy(words[0] + s * LANES_WIDTH, &state.a[s], sizeof(vec));
        memcpy(words[1] + s * LANES_WIDTH, &state.b[s], sizeof(vec));
        memcpy(words[2] + s * LANES_WIDTH, &state.c[s], sizeof(vec));
        memcpy(words[3] + s * LANES_WIDTH, &state.d[s], sizeof(vec));
    }
    /* The CPUs of the vector paths are little-endian, as MD4 is. */
    for (size_t i = 0; i < count; i++)
        for (int word = 0; word < 4; word++)
            memcpy(digests[i] + 4 * word, &words[word][i], 4);
}

#undef LANES_COUNT
#undef EACH_SET
#undef STEP1
#undef STEP2
#undef STEP3
#undef ROUND1
#undef ROUND2
#undef ROUND3
#undef LANES_WIDTH
#undef LANES_SETS
#undef LANES_NAME
