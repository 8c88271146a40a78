#!/usr/bin/env bash
# Counts the instructions of fixed cases with valgrind: not time, so that a busy machine counts the same. Fails where a case
# takes over a tenth more than `instructions.txt` has for it.
#
#   benches/instructions.sh RUNNER           compare
#   benches/instructions.sh RUNNER --write   write the figures of this program
set -euo pipefail
runner=$(realpath "$1")
figures=$(realpath "$(dirname "$0")")/instructions.txt

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export RUNNER_HOME=$dir/home

# `nodes` layered integers: ten in a layer, each the sum of two of the layer before.
layered() {
  local nodes=$1 n
  printf '[workflow]\nname = "w%d"\n' "$nodes"
  printf '[tasks.add]\ncache = true\ninputs = { a = "int", b = "int" }\noutputs = { x = "int" }\n'
  printf "run = 'echo \$((a + b)) > \"\$OUT/x\"'\n"
  for ((n = 0; n < nodes; n++)); do
    if ((n < 10)); then
      printf '[nodes.n%d]\ntask = "add"\ninputs = { a = %d, b = 1 }\n' "$n" "$n"
    else
      printf '[nodes.n%d]\ntask = "add"\ninputs = { a = "{{ n%d.x }}", b = "{{ n%d.x }}" }\n' \
        "$n" $((n / 10 * 10 - 10 + n % 10)) $((n / 10 * 10 - 10 + (n + 1) % 10))
    fi
  done
  printf '[outputs]\nx = "{{ n%d.x }}"\n' $((nodes - 1))
}

layered 1 > one.toml
layered 500 > many.toml
for flow in one many; do
  "$runner" exec $flow.toml -q > /dev/null
  # What was just written is too young to be trusted by its looks.
  sleep 0.2
  "$runner" exec $flow.toml -q > /dev/null
done

# Twice: a receipt counts for the program that it was made by, which here is valgrind's.
count() {
  counted "$@" > /dev/null
  counted "$@"
}

counted() {
  valgrind --tool=cachegrind --cache-sim=no --cachegrind-out-file=/dev/null "$runner" "$@" 2>&1 > /dev/null |
    sed -n 's/.*I *refs: *//p' | tr -d ,
}

now=$(
  echo "no-op-of-one-node $(count exec one.toml -q)"
  echo "no-op-of-500-nodes $(count exec many.toml -q)"
  echo "no-op-of-500-nodes-in-full $(RUNNER_RECEIPTS=off count exec many.toml -q)"
  echo "plan-of-500-nodes $(count plan many.toml)"
)
if [[ ${2-} == --write ]]; then
  printf '%s\n' "$now" > "$figures"
  cat "$figures"
  exit
fi
failed=0
while read -r name count; do
  before=$(sed -n "s/^$name //p" "$figures")
  verdict=ok
  if ((count > before + before / 10)); then
    verdict="over a tenth more"
    failed=1
  fi
  printf '%-28s %12d, %12d before: %s\n' "$name" "$count" "$before" "$verdict"
done <<< "$now"
exit $failed
