/*  mutant.h - in front of what weave.c made. SPDX-License-Identifier: MIT OR Unlicense */
#ifndef MUTANT_H
#define MUTANT_H
#ifdef __cplusplus
extern "C" {
#endif
enum { MUTANT_MOST = 100000 };
extern unsigned char mutant_met[MUTANT_MOST]; /* the program has come to it */
extern int mutant_now;                        /* the one that is awake */
#ifdef __cplusplus
}
#endif
#define MUTANT(number) (mutant_met[number] = 1, mutant_now == (number))
#endif
