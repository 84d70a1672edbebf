/* SPDX-License-Identifier: GPL-2.0 */
/* The kernel's tests are not here: see EXPORT_SYMBOL_IF_KUNIT in the Makefile */
