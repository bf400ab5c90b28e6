/* Which instruction path runs: the best this CPU has, or the one asked for by name. */
#include "inner.h"

static const tl_path *chosen;

static bool has(const tl_path *path)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (path == &tl_path_avx512)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
            && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    if (path == &tl_path_avx2)
        return __builtin_cpu_supports("avx2");
#endif
    return path != NULL; /* NEON belongs to every aarch64 */
}

static const tl_path *const paths[] = {
#if defined(__x86_64__)
    &tl_path_avx512,
    &tl_path_avx2,
#elif defined(__aarch64__) && !defined(__AARCH64EB__)
    &tl_path_neon,
#endif
    &tl_path_scalar,
};

/* Choose by name, or the best one for NULL; TL_NO_SUCH_PATH when this machine cannot. Called at import, before threads. */
int tl_select(const char *name)
{
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        if (has(paths[i]) && (!name || strcmp(name, paths[i]->name) == 0)) {
            chosen = paths[i];
            return TL_OK;
        }
    return TL_NO_SUCH_PATH;
}

const tl_path *tl_path_chosen(void)
{
    return chosen ? chosen : &tl_path_scalar;
}

const char *tl_kernel(void)
{
    return tl_path_chosen()->name;
}

uint32_t tl_max_block_len(void)
{
    return TL_MAX_BLOCK_LEN;
}
