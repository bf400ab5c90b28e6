/* What the fuzz targets share: every input runs over every instruction path of the machine. */
#ifndef TARRAGON_FUZZ_H
#define TARRAGON_FUZZ_H

#include <stdio.h>
#include <stdlib.h>

#include "inner.h"

#define CHECK(condition)                                             \
    do {                                                             \
        if (!(condition)) {                                          \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                 \
        }                                                            \
    } while (0)

static const char *const fuzz_paths[] = {"scalar", "avx2", "avx512", "neon"};
#define FUZZ_PATHS (sizeof fuzz_paths / sizeof *fuzz_paths)

typedef struct {
    uint8_t *bytes;
    size_t size;
} text;

static inline void add(text *to, const uint8_t *bytes, size_t size)
{
    to->bytes = realloc(to->bytes, to->size + size + 1);
    CHECK(to->bytes);
    if (size)
        memcpy(to->bytes + to->size, bytes, size);
    to->size += size;
}

static inline void take(tl_delta *delta, int which, text *to)
{
    size_t size;
    const uint8_t *bytes = tl_delta_out(delta, which, &size);
    add(to, bytes, size);
    tl_delta_taken(delta, which);
}

/* Feed content in pieces that are allocations of their own, so that a read beyond one is seen. */
static inline void run(tl_delta *delta, const uint8_t *content, size_t size, size_t cut, text *commands, text *sums)
{
    CHECK(delta);
    for (size_t at = 0; at < size;) {
        size_t here = size - at < cut ? size - at : cut;
        uint8_t *piece = malloc(here);
        CHECK(piece);
        memcpy(piece, content + at, here);
        CHECK(tl_delta_update(delta, piece, here) == TL_OK);
        free(piece);
        take(delta, 0, commands);
        take(delta, 1, sums);
        at += here;
    }
    CHECK(tl_delta_finish(delta) == TL_OK);
    take(delta, 0, commands);
    take(delta, 1, sums);
    tl_delta_free(delta);
}

#endif
