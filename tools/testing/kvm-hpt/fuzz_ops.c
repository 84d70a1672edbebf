// SPDX-License-Identifier: GPL-2.0-only
/*
 * libFuzzer chooses the operations for the model.
 */

#include <string.h>

#include "model.h"

#define MAX_OPS		300

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct model_op ops[MAX_OPS];
	size_t nr = size / sizeof(*ops);

	if (nr > MAX_OPS)
		nr = MAX_OPS;
	memcpy(ops, data, nr * sizeof(*ops));
	model_run(ops, nr);
	return 0;
}
