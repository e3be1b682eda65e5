// Switching between fibers without a system call. Saved: the registers that a called function must keep.
#include <cstdint>
#include "fiber.h"

#if defined(__x86_64__)
asm(R"(
    .text
    .p2align 4
    .globl standinSwitch
    .hidden standinSwitch
    .type standinSwitch, @function
standinSwitch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size standinSwitch, .-standinSwitch

    .type standinStart, @function
standinStart:
    movq %r12, %rdi
    callq *%r13
    ud2
    .size standinStart, .-standinStart
)");
extern "C" void standinStart() asm("standinStart");

void *prepareStack(void *top, void (*entry)(void *), void *argument)
{
    auto *stack = reinterpret_cast<uint64_t *>(reinterpret_cast<uintptr_t>(top) & ~uintptr_t(15));
    *--stack = reinterpret_cast<uint64_t>(&standinStart); // popped by ret, which leaves the stack aligned
    *--stack = 0;                                  // rbp
    *--stack = 0;                                  // rbx
    *--stack = reinterpret_cast<uint64_t>(argument); // r12
    *--stack = reinterpret_cast<uint64_t>(entry);    // r13
    *--stack = 0;                                  // r14
    *--stack = 0;                                  // r15
    return stack;
}
#else
#error "The stand-in switches fibers by hand, on x86-64 alone."
#endif
