/*
 * What the processor offers, as one of the x86-64 levels that the native builds are compiled for. A build compiled ahead of
 * time has one level for all its code, so the archives hold one build per level and choose on the machine that they run on.
 */
#ifndef LAZYLLM_CPU_LEVEL_H
#define LAZYLLM_CPU_LEVEL_H

#if !defined(__x86_64__)
#error "The native archives are made for x86-64 only."
#endif

/* The best level of this machine: "x86-64-v4" (AVX-512), "x86-64-v3" (AVX2 and FMA), else "x86-64-v2". */
static inline const char *lazyllm_cpu_level(void)
{
    __builtin_cpu_init();
    if (__builtin_cpu_supports("x86-64-v4")) {
        return "x86-64-v4";
    }
    return __builtin_cpu_supports("x86-64-v3") ? "x86-64-v3" : "x86-64-v2";
}

#endif
