/*  impl.c - the one object that the black-box tests link. SPDX-License-Identifier: MIT OR Unlicense */
#define SQLPOOL_IMPLEMENTATION
#include "sqlpool.h"
