/* SPDX-License-Identifier: GPL-2.0 */
/* See EXPORT_SYMBOL_IF_KUNIT in the Makefile */
