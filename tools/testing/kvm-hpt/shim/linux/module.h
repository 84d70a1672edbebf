/* SPDX-License-Identifier: GPL-2.0-only */
/* Tests only compare its address */
extern char shim_module;

#define THIS_MODULE	(&shim_module)
#define MODULE_DESCRIPTION(text)
#define MODULE_IMPORT_NS(name)
#define MODULE_LICENSE(text)
