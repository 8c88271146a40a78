/* Splitting text into words. */
#ifndef WORDS_H
#define WORDS_H

#include <stdio.h>

/* The longest word that is kept whole; of a longer one, this many letters. */
enum { WORD_MAX = 63 };

/* Reads the next word of `in`, in lower case, into `word`. Returns 0 at the end of the text. */
int next_word(FILE *in, char word[WORD_MAX + 1]);

#endif
