/* SPDX-License-Identifier: GPL-2.0-only */
#define THIS_MODULE	NULL
#define MODULE_DESCRIPTION(text)
#define MODULE_IMPORT_NS(name)
#define MODULE_LICENSE(text)
