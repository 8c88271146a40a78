# Runs a program over each TEXT.txt of a folder, and compares what it prints with TEXT.expected.
#
#     run.sh PROGRAM FOLDER       prints the number of cases on standard output, differences on standard error

program=$1 folder=$2 passed=0 failed=0
for text in "$folder"/*.txt; do
  if diff --unified "${text%.txt}.expected" <("$program" 1000 < "$text") >&2; then
    passed=$((passed + 1))
  else
    echo "FAILED: $(basename "$text")" >&2
    failed=$((failed + 1))
  fi
done
[[ $failed == 0 && $passed -gt 0 ]] || exit 1
echo "$passed"
