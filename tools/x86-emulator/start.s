# What the emulated CPU runs first: from real mode into 64-bit mode with all vector registers, and on to the program.
# The last 64 KiB below 1 MiB. image.py has left page tables at 0x1000 and what to start with at 0x9000.

.set ROM, 0xf0000
.set STACK, 0x9000
.set ENTRY, 0x9008
.set VECTOR_STATE, 0x9010

.code16
.org 0
begin:
    cli
    data32 lgdt %cs:(descriptors_of - begin)
    mov %cr0, %eax
    or $1, %al                          # protected mode
    mov %eax, %cr0
    ljmpl $0x08, $(ROM + protected - begin)

.code32
protected:
    mov $0x10, %ax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %ss
    mov %ax, %fs
    mov %ax, %gs
    mov $0x1000, %eax
    mov %eax, %cr3
    mov $0x50620, %eax                  # PAE, OSFXSR, OSXMMEXCPT, FSGSBASE, OSXSAVE
    mov %eax, %cr4
    mov $0xc0000080, %ecx               # EFER: LME and SCE
    rdmsr
    or $0x101, %eax
    wrmsr
    mov %cr0, %eax
    or $0x80000022, %eax                # PG, NE, MP
    and $~0x6000000c, %eax              # no EM, TS, CD, NW
    mov %eax, %cr0
    ljmp $0x18, $(ROM + long - begin)

.code64
long:
    xor %ecx, %ecx
    xor %edx, %edx
    mov VECTOR_STATE, %eax
    xsetbv
    fninit
    mov STACK, %rsp
    mov ENTRY, %rax
    xor %edx, %edx
    xor %ebx, %ebx
    xor %ebp, %ebp
    jmp *%rax

.balign 8
descriptors:                            # none, 32-bit code, data, 64-bit code; all of privilege 0
    .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00af9b000000ffff
descriptors_of:
    .word 31
    .long ROM + descriptors - begin

.org 0xfff0                             # where a CPU begins
.code16
    ljmp $0xf000, $0
.org 0x10000
