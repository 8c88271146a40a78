/* wordfreq: the most frequent words of a text.
 *
 *     wordfreq [N] < TEXT        the N most frequent words, ten by default
 */
#include "tally.h"
#include "words.h"

#include <stdlib.h>

int main(int argc, char **argv)
{
    unsigned long most = 10;
    if (argc > 1) {
        char *end;
        most = strtoul(argv[1], &end, 10);
        if (argc > 2 || argv[1][0] < '0' || argv[1][0] > '9' || *end) {
            fprintf(stderr, "usage: wordfreq [N] < TEXT\n");
            return 2;
        }
    }

    struct tally tally = {0};
    char word[WORD_MAX + 1];
    while (next_word(stdin, word)) {
        if (!tally_add(&tally, word)) {
            fprintf(stderr, "wordfreq: out of memory\n");
            return 1;
        }
    }
    tally_sort(&tally);
    for (size_t i = 0; i < tally.used && i < most; i++)
        printf("%7lu %s\n", tally.slots[i].count, tally.slots[i].word);
    tally_free(&tally);
    return 0;
}
