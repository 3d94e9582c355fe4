/* Included before all of the client's main file: its main can be called from a test. */
#ifndef SUPPORT_CLIENT_MAIN_H
#define SUPPORT_CLIENT_MAIN_H

#define main client_main

int client_main(int argc, char **argv);

#endif
