#!/bin/sh
# build.sh SOURCE.tar.xz FOLDER: unpacks Bochs into FOLDER, changes it as README.md says, and builds it.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$2"
tar -xf "$1" -C "$2" --strip-components=1
cd "$2"
cp "$here/linux.h" cpu/linux.h
python3 - <<'PYTHON'
def change(path, before, after):
    text = open(path).read()
    assert text.count(before) == 1, (path, before)
    open(path, "w").write(text.replace(before, after))

handler = "void BX_CPP_AttrRegparmN(1) BX_CPU_C::SYSCALL(bxInstruction_c *i)\n{\n"
change("cpu/proc_ctrl.cc", handler, '#include "linux.h"\n\n' + handler + "  linux_call();\n  BX_NEXT_TRACE(i);\n")
# Memory is made in blocks that do not lie one after the other, which this function forgets.
change("memory/misc_mem.cc", "get_vector(offset), size);\n    if (ret <= 0) {\n      BX_PANIC((\"RAM: read",
       "get_vector(offset), size < 4096 ? size : 4096);\n    if (ret <= 0) {\n      BX_PANIC((\"RAM: read")
PYTHON
export CXXFLAGS="-O2 -march=native -fomit-frame-pointer"
./configure --enable-cpu-level=6 --enable-x86-64 --enable-avx --enable-evex --enable-amx --enable-all-optimizations \
    --with-nogui --disable-docbook --disable-plugins --disable-readline --disable-xpm >configure.log
make -j2 >make.log 2>&1
as --64 -o start.o "$here/start.s"
objcopy -O binary -j .text start.o start.bin
# Any 512 bytes: there is no screen, but Bochs asks for the ROM of its controller.
head -c 512 /dev/zero >video.bin
