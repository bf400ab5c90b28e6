/* Every instruction path against the plain one, in a program of its own: run under an emulator, it checks paths this
 * machine has not. Prints the paths it checked; exit status 1 at the first difference. */
#include <stdio.h>
#include <stdlib.h>

#include "inner.h"

static uint64_t seed = 88172645463325252u;

static uint32_t chance(uint32_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)((seed >> 20) % below);
}

static void fail(const char *what, const char *path, size_t size, size_t len)
{
    printf("%s: %s differs (%zu bytes, blocks of %zu)\n", path, what, size, len);
    exit(1);
}

/* Signature of `data` and delta against `sig` (may be NULL), in pieces of random sizes. */
static size_t made(const tl_sig *sig, uint32_t len, const uint8_t *data, size_t size, uint8_t *sums, uint8_t *commands,
                   size_t *commands_size)
{
    tl_delta *delta = tl_delta_new(sig, len, 8, TL_HEADER | TL_END | TL_SIGN_HEADER, 0);
    size_t sums_size = 0, part;
    if (!delta)
        exit(2);
    *commands_size = 0;
    for (size_t at = 0, here; at <= size; at += here) {
        here = 1 + chance(200000);
        if (here > size - at)
            here = size - at;
        if (here ? tl_delta_update(delta, data + at, here) : tl_delta_finish(delta))
            exit(2);
        const uint8_t *out = tl_delta_out(delta, 1, &part);
        if (part)
            memcpy(sums + sums_size, out, part);
        sums_size += part;
        tl_delta_taken(delta, 1);
        out = tl_delta_out(delta, 0, &part);
        if (part && commands)
            memcpy(commands + *commands_size, out, part);
        *commands_size += part;
        tl_delta_taken(delta, 0);
        if (!here)
            break;
    }
    tl_delta_free(delta);
    return sums_size;
}

static void check_patch(const char *path, const uint8_t *old, const uint8_t *commands, size_t size, const uint8_t *new,
                        size_t new_size)
{
    tl_patch *patch = tl_patch_new();
    size_t at = 0, done = 0;
    while (patch && at < size) {
        tl_op ops[64];
        size_t taken, count;
        if (tl_patch_parse(patch, commands + at, size - at, &taken, ops, 64, &count))
            fail("delta", path, new_size, 0);
        for (size_t i = 0; i < count; done += ops[i++].length)
            if (memcmp(new + done, (ops[i].kind ? old : commands + at) + ops[i].offset, ops[i].length))
                fail("patched content", path, new_size, 0);
        at += taken;
    }
    if (!patch || done != new_size || tl_patch_finish(patch))
        fail("patched length", path, new_size, 0);
    tl_patch_free(patch);
}

static void check(const char *path, uint8_t *old, uint8_t *new, size_t size, uint32_t len)
{
    size_t room = size / len * 12 + 64, count;
    uint8_t *sums = malloc(room), *plain = malloc(room), *commands = malloc(2 * size + 100000);
    int error;
    if (!sums || !plain || !commands)
        exit(2);
    tl_select("scalar");
    size_t plain_size = made(NULL, len, old, size, plain, NULL, &count);
    tl_select(path);
    size_t sums_size = made(NULL, len, old, size, sums, NULL, &count);
    if (sums_size != plain_size || memcmp(sums, plain, sums_size))
        fail("signature", path, size, len);
    tl_sig *sig = tl_sig_new(sums, sums_size, &error);
    if (!sig)
        exit(2);
    memcpy(new, old, size);
    size_t shift = size ? chance(300) % size : 0;
    memmove(new + shift / 2, new + shift, size - shift); /* a deletion, and some changes in place */
    for (uint32_t i = chance(6); size && i-- > 0;)
        new[chance((uint32_t)size)] ^= 0x55;
    made(sig, len, new, size, sums, commands, &count);
    check_patch(path, old, commands, count, new, size);
    tl_sig_free(sig);
    free(sums);
    free(plain);
    free(commands);
}

int main(void)
{
    static const char *const paths[] = {"scalar", "avx2", "avx512", "neon"};
    static const uint32_t lens[] = {16, 55, 56, 64, 100, 119, 120, 512, 700, 2048, 4096};
    size_t most = 300000;
    uint8_t *old = malloc(most), *new = malloc(most);
    if (!old || !new)
        return 2;
    for (size_t i = 0; i < most; i++)
        old[i] = (uint8_t)chance(256);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        if (tl_select(paths[i]))
            continue;
        for (int round = 0; round < 150; round++)
            check(paths[i], old, new, chance((uint32_t)most), lens[chance(sizeof lens / sizeof *lens)]);
        memset(old, 0xff, most / 3);
        check(paths[i], old, new, most, 4096);
        printf("%s: as the plain path\n", paths[i]);
    }
    free(old);
    free(new);
    return 0;
}
