/*  mutant.c - which mutant is awake, and whom a program has met. SPDX-License-Identifier: MIT OR Unlicense

    MUTANT=number in the environment wakes one. MUTANTS_MET=path: at its end the program writes there
    the numbers of those it has come to. */
#include "mutant.h"

#include <stdio.h>
#include <stdlib.h>

unsigned char mutant_met[MUTANT_MOST];
int mutant_now = -1;

__attribute__((constructor)) static void begin(void) {
    const char *number = getenv("MUTANT");
    if (number != NULL) mutant_now = atoi(number);
}

__attribute__((destructor)) static void end(void) {
    const char *path = getenv("MUTANTS_MET");
    FILE *file = path != NULL ? fopen(path, "a") : NULL;
    int i;
    if (file == NULL) return;
    for (i = 0; i < MUTANT_MOST; i++)
        if (mutant_met[i]) (void)fprintf(file, "%d\n", i);
    (void)fclose(file);
}
