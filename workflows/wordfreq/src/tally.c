#include "tally.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* FNV-1a: short, and good enough for words. */
static uint64_t hash(const char *word)
{
    uint64_t h = 14695981039346656037u;
    for (; *word; word++)
        h = (h ^ (unsigned char)*word) * 1099511628211u;
    return h;
}

/* The slot that holds `word`, or the empty one where it belongs. */
static struct entry *find(struct entry *slots, size_t capacity, const char *word)
{
    size_t i = (size_t)hash(word) & (capacity - 1);
    while (slots[i].word && strcmp(slots[i].word, word) != 0)
        i = (i + 1) & (capacity - 1);
    return &slots[i];
}

static int grow(struct tally *tally)
{
    size_t capacity = tally->capacity ? tally->capacity * 2 : 64;
    struct entry *slots = calloc(capacity, sizeof *slots);
    if (!slots)
        return 0;
    for (size_t i = 0; i < tally->capacity; i++)
        if (tally->slots[i].word)
            *find(slots, capacity, tally->slots[i].word) = tally->slots[i];
    free(tally->slots);
    tally->slots = slots;
    tally->capacity = capacity;
    return 1;
}

int tally_add(struct tally *tally, const char *word)
{
    /* A quarter stays empty, so that a search ends soon. */
    if (tally->used * 4 >= tally->capacity * 3 && !grow(tally))
        return 0;
    struct entry *entry = find(tally->slots, tally->capacity, word);
    if (!entry->word) {
        size_t size = strlen(word) + 1;
        if (!(entry->word = malloc(size)))
            return 0;
        memcpy(entry->word, word, size);
        tally->used++;
    }
    entry->count++;
    return 1;
}

static int by_count(const void *left, const void *right)
{
    const struct entry *a = left, *b = right;
    if (a->count != b->count)
        return a->count < b->count ? 1 : -1;
    return strcmp(a->word, b->word);
}

void tally_sort(struct tally *tally)
{
    size_t n = 0;
    for (size_t i = 0; i < tally->capacity; i++) {
        if (!tally->slots[i].word)
            continue;
        struct entry entry = tally->slots[i];
        tally->slots[i] = (struct entry){0};
        tally->slots[n++] = entry;
    }
    if (n > 1)
        qsort(tally->slots, n, sizeof *tally->slots, by_count);
}

void tally_free(struct tally *tally)
{
    for (size_t i = 0; i < tally->capacity; i++)
        free(tally->slots[i].word);
    free(tally->slots);
    *tally = (struct tally){0};
}
