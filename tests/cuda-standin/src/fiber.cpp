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
#elif defined(__aarch64__)
asm(R"(
    .text
    .p2align 4
    .globl standinSwitch
    .hidden standinSwitch
    .type standinSwitch, %function
standinSwitch:
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret

    .type standinStart, %function
standinStart:
    mov x0, x19
    blr x20
    brk #1
)");
extern "C" void standinStart() asm("standinStart");

void *prepareStack(void *top, void (*entry)(void *), void *argument)
{
    auto *stack = reinterpret_cast<uint64_t *>(reinterpret_cast<uintptr_t>(top) & ~uintptr_t(15)) - 20;
    for (int i = 0; i < 20; i++)
        stack[i] = 0;
    stack[0] = reinterpret_cast<uint64_t>(argument);    // x19
    stack[1] = reinterpret_cast<uint64_t>(entry);       // x20
    stack[11] = reinterpret_cast<uint64_t>(&standinStart); // x30
    return stack;
}
#else
#error "The stand-in switches fibers by hand on x86-64 and arm64 alone."
#endif
