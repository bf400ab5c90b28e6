/* Any bytes as a signature, any bytes as new content: a refusal, or a delta that is whole. */
#include "harness.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    size_t split = 2 + (size_t)data[0] * (size - 2) / 255, cut = 1 + (size_t)data[1] * data[1];
    uint8_t *own = malloc(split - 2 + 1);
    CHECK(own);
    memcpy(own, data + 2, split - 2);
    int error;
    tl_sig *sig = tl_sig_new(own, split - 2, &error);
    free(own);
    CHECK((sig == NULL) == (error != TL_OK));
    if (!sig)
        return 0;
    for (size_t i = 0; i < FUZZ_PATHS; i++) {
        text commands = {0}, sums = {0};
        if (tl_select(fuzz_paths[i]) != TL_OK)
            continue;
        tl_delta *delta = tl_delta_new(sig, data[1] & 1 ? tl_sig_block_len(sig) : 0, 8, TL_HEADER | TL_END, data[0]);
        run(delta, data + split, size - split, cut, &commands, &sums);
        CHECK(commands.size >= 5 && commands.bytes[commands.size - 1] == 0);
        free(commands.bytes);
        free(sums.bytes);
    }
    tl_sig_free(sig);
    return 0;
}
