/* Included before all of tlsmsg-store's main file: its main can be called from a test. */
#ifndef SUPPORT_TOOL_MAIN_H
#define SUPPORT_TOOL_MAIN_H

#define main store_tool_main

int store_tool_main(int argc, char **argv);

#endif
