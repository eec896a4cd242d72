// The system calls of Linux that a static test program makes, answered by the emulator itself. Addresses of the program are
// those of memory. Threads take turns: at a call that waits, and at each look at the clock, since who spins looks at it.

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>
#include <string>
#include <vector>

#include "memory/memory-bochs.h"

namespace {

const unsigned RAX_ = 0, RCX_ = 1, RDX_ = 2, RSP_ = 4, RSI_ = 6, RDI_ = 7, R8_ = 8, R10_ = 10, R11_ = 11;
const Bit64u PAGE_BYTES = 4096, MEMORY_END = (2ull << 30) - (64 << 20), SECOND = 1000000000;

struct Thread {
  bx_gen_reg_t registers[sizeof(((BX_CPU_C *)0)->gen_reg) / sizeof(bx_gen_reg_t)];
  bx_zmm_reg_t vectors[BX_XMM_REGISTERS];
  Bit64u masks[8], thread_pointer;
  Bit32u mxcsr, flags;
  unsigned id;
  bool waits, ended;
  Bit64u futex, until, clear_at_end;
};

std::vector<Thread *> threads;
unsigned current;
std::map<Bit64u, std::vector<Bit64u> > free_by_bytes;
Bit64u free_memory, skipped_ns;

Bit8u *host(Bit64u address)
{
  Bit8u *at = BX_MEM(0)->getHostMemAddr(NULL, address, BX_RW);
  if (at == NULL) {
    fprintf(stderr, "a system call names address %llx, where no memory is\n", (unsigned long long) address);
    _exit(3);
  }
  return at;
}

template <class Copy> void for_each_page(Bit64u address, Bit64u bytes, Copy copy)
{
  for (Bit64u done = 0; done < bytes;) {
    Bit64u room = PAGE_BYTES - (address + done) % PAGE_BYTES, n = bytes - done < room ? bytes - done : room;
    copy(host(address + done), done, n);
    done += n;
  }
}

void read_guest(Bit64u from, void *to, Bit64u bytes)
{
  for_each_page(from, bytes, [&](Bit8u *page, Bit64u at, Bit64u n) { memcpy((char *) to + at, page, n); });
}

void write_guest(Bit64u to, const void *from, Bit64u bytes)
{
  for_each_page(to, bytes, [&](Bit8u *page, Bit64u at, Bit64u n) { memcpy(page, (const char *) from + at, n); });
}

std::string text_at(Bit64u address)
{
  std::string text;
  for (char c; read_guest(address, &c, 1), c != 0 && text.size() < 4096; address++) text += c;
  return text;
}

Bit64u now_ns() { return bx_pc_system.time_ticks() * 2 + skipped_ns; }

Bit64u time_at(Bit64u address)
{
  Bit64u time[2];
  read_guest(address, time, sizeof time);
  return time[0] * SECOND + time[1];
}

void save(Thread *thread)
{
  BX_CPU_C *cpu = BX_CPU(0);
  memcpy(thread->registers, cpu->gen_reg, sizeof thread->registers);
  memcpy(thread->vectors, cpu->vmm, sizeof thread->vectors);
  for (int i = 0; i < 8; i++) thread->masks[i] = cpu->opmask[i].rrx;
  thread->thread_pointer = cpu->sregs[BX_SEG_REG_FS].cache.u.segment.base;
  thread->mxcsr = cpu->mxcsr.mxcsr;
  thread->flags = cpu->read_eflags();
}

void load(const Thread *thread)
{
  BX_CPU_C *cpu = BX_CPU(0);
  memcpy(cpu->gen_reg, thread->registers, sizeof thread->registers);
  memcpy(cpu->vmm, thread->vectors, sizeof thread->vectors);
  for (int i = 0; i < 8; i++) cpu->opmask[i].rrx = thread->masks[i];
  cpu->sregs[BX_SEG_REG_FS].cache.u.segment.base = thread->thread_pointer;
  cpu->mxcsr.mxcsr = thread->mxcsr;
  cpu->setEFlags(thread->flags);
  cpu->prev_rip = cpu->gen_reg[BX_64BIT_REG_RIP].rrx;
}

// Goes on with the next thread that can; where all wait, time passes.
void take_turns()
{
  save(threads[current]);
  for (;; skipped_ns += SECOND / 100) {
    bool any_wakes = false;
    for (unsigned i = 1; i <= threads.size(); i++) {
      Thread *thread = threads[(current + i) % threads.size()];
      if (thread->ended) continue;
      any_wakes |= thread->until != 0;
      if (thread->waits && thread->until != 0 && now_ns() >= thread->until) {
        thread->waits = false;
        thread->registers[RAX_].rrx = thread->futex ? (Bit64u) -110 : 0;
      }
      if (!thread->waits) {
        current = (current + i) % threads.size();
        return load(thread);
      }
    }
    if (!any_wakes) {
      fprintf(stderr, "all threads wait for each other\n");
      _exit(4);
    }
  }
}

void wait_for(Bit64u futex, Bit64u until)
{
  BX_CPU(0)->gen_reg[RAX_].rrx = 0;
  threads[current]->waits = true;
  threads[current]->futex = futex;
  threads[current]->until = until;
  take_turns();
}

Bit64s wake(Bit64u futex, Bit64s most)
{
  Bit64s woken = 0;
  for (Thread *thread : threads) {
    if (thread->ended || !thread->waits || thread->futex != futex || woken == most) continue;
    thread->waits = false;
    thread->registers[RAX_].rrx = 0;
    woken++;
  }
  return woken;
}

Bit64s clone(Bit64u flags, Bit64u stack, Bit64u parent_id, Bit64u child_id, Bit64u thread_pointer)
{
  Thread *thread = new Thread();
  save(thread);
  thread->id = threads.size() + 1;
  thread->registers[RAX_].rrx = 0;
  thread->registers[RSP_].rrx = stack;
  if (flags & 0x80000) thread->thread_pointer = thread_pointer;
  if (flags & 0x200000) thread->clear_at_end = child_id;
  if (flags & 0x100000) write_guest(parent_id, &thread->id, sizeof thread->id);
  threads.push_back(thread);
  return thread->id;
}

void end_thread()
{
  Thread *thread = threads[current];
  thread->ended = true;
  if (thread->clear_at_end) {
    Bit32u zero = 0;
    write_guest(thread->clear_at_end, &zero, sizeof zero);
    wake(thread->clear_at_end, 1);
  }
  take_turns();
}

Bit64s map_memory(Bit64u bytes, Bit64u flags)
{
  if (!(flags & 0x20)) return -38;
  bytes = (bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
  std::vector<Bit64u> &known = free_by_bytes[bytes];
  if (!known.empty()) {
    Bit64u address = known.back();
    known.pop_back();
    for_each_page(address, bytes, [](Bit8u *page, Bit64u, Bit64u n) { memset(page, 0, n); });
    return address;
  }
  if (bytes > MEMORY_END - free_memory) return -12;
  free_memory += bytes;
  return free_memory - bytes;
}

Bit64s transfer(bool out, int file, Bit64u address, Bit64u bytes)
{
  if (!out && file < 3) return 0;
  std::vector<char> buffer(bytes);
  if (out) {
    read_guest(address, buffer.data(), bytes);
    return write(file == 2 ? 2 : 1, buffer.data(), bytes);
  }
  ssize_t n = read(file, buffer.data(), bytes);
  if (n > 0) write_guest(address, buffer.data(), n);
  return n;
}

Bit64s transfer_parts(bool out, int file, Bit64u parts, Bit64u n_parts)
{
  Bit64s sum = 0;
  for (Bit64u part, i = 0; i < n_parts; i++) {
    Bit64u address_and_bytes[2];
    read_guest(parts + 16 * i, address_and_bytes, 16);
    part = transfer(out, file, address_and_bytes[0], address_and_bytes[1]);
    if ((Bit64s) part <= 0) break;
    sum += part;
    if (part < address_and_bytes[1]) break;
  }
  return sum;
}

// Files of the host, to read only.
Bit64s open_file(const std::string &path)
{
  bool of_the_system = path.compare(0, 5, "/proc") == 0 || path.compare(0, 4, "/sys") == 0;
  int file = of_the_system ? -1 : open(path.c_str(), O_RDONLY);
  return file < 0 ? -2 : file;
}

Bit64s describe_file(int file, Bit64u to)
{
  struct stat about;
  if (file < 3 || fstat(file, &about) != 0) return -9;
  write_guest(to, &about, sizeof about);
  return 0;
}

Bit64s processors(Bit64u bytes, Bit64u to)
{
  Bit64u two = 3;
  if (bytes < sizeof two) return -22;
  write_guest(to, &two, sizeof two);
  return sizeof two;
}

void linux_call()
{
  BX_CPU_C *cpu = BX_CPU(0);
#define REGISTER(index) cpu->gen_reg[index].rrx
  if (threads.empty()) {
    threads.push_back(new Thread());
    threads[0]->id = 1;
    free_memory = strtoull(getenv("LINUX_FREE_MEMORY"), NULL, 0);
  }
  const Bit64u number = REGISTER(RAX_), a = REGISTER(RDI_), b = REGISTER(RSI_), c = REGISTER(RDX_), d = REGISTER(R10_);
  REGISTER(RCX_) = cpu->gen_reg[BX_64BIT_REG_RIP].rrx;
  REGISTER(R11_) = cpu->read_eflags();
  Bit64s result = 0;
  switch (number) {
    case 0: result = transfer(false, a, b, c); break;
    case 1: result = transfer(true, a, b, c); break;
    case 19: result = transfer_parts(false, a, b, c); break;
    case 20: result = transfer_parts(true, a, b, c); break;
    case 2: result = open_file(text_at(a)); break;
    case 257: result = open_file(text_at(b)); break;
    case 3: result = a > 2 ? close(a) : 0; break;
    case 5: result = describe_file(a, b); break;
    case 262: result = text_at(b).empty() ? describe_file(a, c) : -2; break;
    case 8: result = lseek(a, b, c); break;
    case 9: result = map_memory(b, d); break;
    case 11: free_by_bytes[(b + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES].push_back(a); break;
    // Protection, signals, advice, names, brk (which then gives nothing): all is well as it is.
    case 7: case 10: case 12: case 13: case 14: case 28: case 72: case 131: case 157: case 200: case 273: break;
    case 16: result = -25; break;
    case 25: result = -12; break;
    case 39: result = 1; break;
    case 186: result = threads[current]->id; break;
    case 218: threads[current]->clear_at_end = a; result = threads[current]->id; break;
    case 158:
      if (a == 0x1002) cpu->sregs[BX_SEG_REG_FS].cache.u.segment.base = b;
      else result = -22;
      break;
    case 204: result = processors(b, c); break;
    case 318: { // random bytes, the same ones each time
      std::vector<char> bytes(b, 0x5a);
      write_guest(a, bytes.data(), b);
      result = b;
      break;
    }
    case 228: {
      Bit64u time[2] = {now_ns() / SECOND, now_ns() % SECOND};
      write_guest(b, time, sizeof time);
      REGISTER(RAX_) = 0;
      skipped_ns += 1000;
      return take_turns();
    }
    case 24: REGISTER(RAX_) = 0; skipped_ns += 1000; return take_turns();
    case 35: return wait_for(0, now_ns() + time_at(a) + 1);
    case 230: return wait_for(0, (b & 1 ? 0 : now_ns()) + time_at(c) + 1);
    case 56: result = clone(a, b, c, d, REGISTER(R8_)); break;
    case 202: {
      unsigned operation = b & 0x7f;
      Bit32u value;
      read_guest(a, &value, sizeof value);
      if (operation == 1 || operation == 10) result = wake(a, (int) c);
      else if (operation == 3 || operation == 4) result = wake(a, 1 << 20);
      else if (operation != 0 && operation != 9) result = -38;
      else if (value != (Bit32u) c) result = -11;
      else return wait_for(a, d == 0 ? 0 : (operation == 9 ? 0 : now_ns()) + time_at(d) + 1);
      break;
    }
    case 60: return end_thread();
    case 231: _exit(a);
    default: result = -38;
  }
  REGISTER(RAX_) = result;
#undef REGISTER
}

}  // namespace
