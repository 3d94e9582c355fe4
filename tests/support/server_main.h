/* Included before all of the server's main file: its main can be called from a test. */
#ifndef SUPPORT_SERVER_MAIN_H
#define SUPPORT_SERVER_MAIN_H

#define main server_main

int server_main(int argc, char **argv);

#endif
