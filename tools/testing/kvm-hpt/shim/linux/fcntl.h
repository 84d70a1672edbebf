/* SPDX-License-Identifier: GPL-2.0-only */
#include <fcntl.h>
#ifndef O_CLOEXEC
#define O_CLOEXEC 02000000
#endif
