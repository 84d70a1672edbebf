// SPDX-License-Identifier: GPL-2.0
/* See hpt_fault.h */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kselftest.h"
#include "hpt_fault.h"
#include "hpt_vm.h"

int fault_open(void)
{
	int nth = open("/proc/thread-self/fail-nth", O_RDWR);

	return nth < 0 ? -errno : nth;
}

int fault_prepare(void)
{
	static const char * const knobs[] = {
		"failslab/ignore-gfp-wait", "failslab/verbose",
		"fail_page_alloc/ignore-gfp-wait", "fail_page_alloc/verbose",
		"fail_page_alloc/min-order", "fail_usercopy/verbose",
	};
	unsigned int i;
	char path[128];
	int err;

	for (i = 0; i < ARRAY_SIZE(knobs); i++) {
		snprintf(path, sizeof(path), FAULT_DIR "%s", knobs[i]);
		err = host_set(path, "0");
		if (err) {
			fprintf(stderr, "# %s: %s\n", path, strerror(-err));
			return err;
		}
	}
	return 0;
}

void fault_arm(int nth, int n)
{
	char text[16];
	size_t len = snprintf(text, sizeof(text), "%d", n);

	while (pwrite(nth, text, len, 0) < 0) {
		if (errno != EFAULT)
			abort();
	}
}

bool fault_disarm(int nth)
{
	char text[16] = "";
	bool fired;

	/* If no failure was injected before, this read takes it */
	fired = pread(nth, text, sizeof(text) - 1, 0) > 0 && atoi(text) == 0;
	fault_arm(nth, 0);
	return fired;
}
