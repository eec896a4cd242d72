#!/bin/sh
# run.sh FOLDER CPU PROGRAM ARGUMENTS...: runs a static program on an emulated CPU of Bochs, which build.sh has built in FOLDER.
# TOKENMILL_* variables are passed on.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
bochs=$(cd "$1" && pwd)
cpu=$2
shift 2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
LINUX_FREE_MEMORY=$(python3 "$here/image.py" "$cpu" "$folder" "$@")
export LINUX_FREE_MEMORY
cat >"$folder/bochsrc" <<RC
display_library: nogui
romimage: file=$bochs/start.bin
vgaromimage: file=$bochs/video.bin
optramimage1: file=$folder/low.bin, address=0x1000
optramimage2: file=$folder/high.bin, address=0x10000000
cpu: model=$cpu, count=1, ips=400000000, reset_on_triple_fault=0, ignore_bad_msrs=1
memory: guest=2048, host=2048
boot: floppy
clock: sync=none
log: $folder/log
panic: action=fatal
error: action=report
info: action=report
RC
status=0
"$bochs/bochs" -q -f "$folder/bochsrc" 2>"$folder/errors" || status=$?
if [ "$status" -ne 0 ]; then
    # What the CPU was doing when it stopped, if it was not the program that ended.
    grep -a "PANIC\| RIP=\|>> " "$folder/log" | tail -n 4 >&2 || true
fi
grep -av "^0000\|^====\|Bochs x86\|Built from\|Timestamp\|^\[" "$folder/errors" >&2 || true
exit "$status"
