/* Any old and new content: our delta of them, parsed by our parser, makes the new content; all paths sign alike. */
#include "harness.h"

static void check_patch(const text *commands, const uint8_t *old, size_t old_size, const uint8_t *new, size_t new_size)
{
    tl_patch *patch = tl_patch_new();
    size_t at = 0, made = 0;
    CHECK(patch);
    while (at < commands->size) {
        tl_op ops[16];
        size_t taken, count;
        CHECK(tl_patch_parse(patch, commands->bytes + at, commands->size - at, &taken, ops, 16, &count) == TL_OK);
        for (size_t i = 0; i < count; i++) {
            const uint8_t *from = ops[i].kind ? old : commands->bytes + at;
            CHECK(!ops[i].kind || (ops[i].offset <= old_size && ops[i].length <= old_size - ops[i].offset));
            CHECK(ops[i].length <= new_size - made && memcmp(new + made, from + ops[i].offset, ops[i].length) == 0);
            made += ops[i].length;
        }
        at += taken;
    }
    CHECK(made == new_size && tl_patch_finish(patch) == TL_OK);
    tl_patch_free(patch);
}

/* The content is made by a small program, so that few bytes make long files with common parts. */
static text grown(const uint8_t *data, size_t size)
{
    text made = {0};
    add(&made, data, size);
    for (size_t i = 0; i + 3 < size && made.size < 20000; i += 4) {
        size_t from = made.size * data[i] / 256, length = (size_t)data[i + 1] * data[i + 2] / 8;
        if (length > made.size - from)
            length = made.size - from;
        uint8_t *copy = malloc(length + 1);
        CHECK(copy);
        memcpy(copy, made.bytes + from, length);
        if (length && data[i + 3] & 1)
            copy[length / 2] ^= data[i + 3];
        add(&made, copy, length);
        free(copy);
    }
    return made;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 6)
        return 0;
    uint32_t old_len = 1 + data[0] + 256u * (data[1] % 9), new_len = data[2] & 1 ? old_len : 64u + data[2];
    size_t cut = data[3] & 1 ? 1u + data[3] * 97u : 70000, split = 5 + (size_t)data[4] * (size - 5) / 255;
    text old = grown(data + 5, split - 5), new = grown(data + split, size - split), first = {0}, none = {0};
    uint64_t offset = data[3] & 2 ? 0 : (uint64_t)data[1] * old_len;
    for (size_t i = 0; i < FUZZ_PATHS; i++) {
        text commands = {0}, sums = {0}, old_sums = {0};
        int error;
        if (tl_select(fuzz_paths[i]) != TL_OK)
            continue;
        run(tl_delta_new(NULL, old_len, 8, TL_SIGN_HEADER, 0), old.bytes, old.size, cut, &none, &old_sums);
        tl_sig *sig = tl_sig_new(old_sums.bytes, old_sums.size, &error);
        CHECK(sig);
        run(tl_delta_new(sig, data[3] & 4 ? new_len : 0, 8, TL_HEADER | TL_END, offset), new.bytes, new.size, cut,
            &commands, &sums);
        tl_sig_free(sig);
        check_patch(&commands, old.bytes, old.size, new.bytes, new.size);
        add(&sums, old_sums.bytes, old_sums.size);
        if (i == 0)
            add(&first, sums.bytes, sums.size);
        CHECK(first.size == sums.size && memcmp(first.bytes, sums.bytes, sums.size) == 0);
        free(commands.bytes);
        free(sums.bytes);
        free(old_sums.bytes);
    }
    free(old.bytes);
    free(new.bytes);
    free(first.bytes);
    free(none.bytes);
    return 0;
}
