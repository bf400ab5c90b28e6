/* Any bytes as delta commands, in pieces: steps within the piece given, or a refusal. */
#include "harness.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    size_t cut = 1 + data[0] % 40, room = 1 + data[1] % 5;
    tl_patch *patch = tl_patch_new();
    CHECK(patch);
    int fault = TL_OK;
    for (size_t start = 2; start < size && fault == TL_OK; start += cut) {
        size_t here = size - start < cut ? size - start : cut, at = 0;
        uint8_t *piece = malloc(here);
        tl_op *ops = malloc(room * sizeof *ops);
        CHECK(piece && ops);
        memcpy(piece, data + start, here);
        while (at < here && fault == TL_OK) {
            size_t taken, count;
            fault = tl_patch_parse(patch, piece + at, here - at, &taken, ops, room, &count);
            CHECK(taken <= here - at && count <= room && (taken || fault));
            for (size_t i = 0; i < count; i++)
                CHECK(ops[i].length && (ops[i].kind || (ops[i].offset < taken && ops[i].length <= taken - ops[i].offset)));
            at += taken;
        }
        free(piece);
        free(ops);
    }
    (void)tl_patch_finish(patch);
    tl_patch_free(patch);
    return 0;
}
