/* Counting words: a hash table that grows. */
#ifndef TALLY_H
#define TALLY_H

#include <stddef.h>

struct entry {
    char *word;
    unsigned long count;
};

struct tally {
    struct entry *slots; /* an empty slot has no word */
    size_t capacity;     /* a power of two, or 0 */
    size_t used;
};

/* Counts `word` once more. Returns 0 when memory ran out. */
int tally_add(struct tally *tally, const char *word);

/* Moves the entries to the front, most frequent first, equals by the alphabet. Nothing can be added afterwards. */
void tally_sort(struct tally *tally);

void tally_free(struct tally *tally);

#endif
