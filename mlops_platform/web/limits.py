"""What one client may send, keep waiting and leave unread. Each process counts for itself."""

KIB, MIB = 1024, 1024 * 1024

# --- Connections ----------------------------------------------------------------------------
CONNECTIONS = 1000  # one more closes the connection that has been without a request for longest
HEAD_S = 10.0  # from a request's first byte to the end of its headers; before the first one, too
BODY_S = 20.0  # from there to the end of the body
IDLE_S = 15.0  # between two requests
UNREAD_S = 30.0  # for the client to take the next 64 KiB of an answer
LONGEST_TARGET = 8 * KIB
LONGEST_HEAD = 32 * KIB
MOST_HEADERS = 100
RECEIVING_BYTES = 64 * MIB  # of all bodies that are not whole yet; beyond, the oldest is dropped
UNREAD_BYTES = 128 * MIB  # of all answers that are not taken yet; likewise

# --- Turns for a thread ---------------------------------------------------------------------
WAITING_OF_CLIENT = 32
WAITING_OF_ORGANIZATION = 128
WAITING = 256
TURN_S = 10.0

# --- Streams --------------------------------------------------------------------------------
OPEN_S = 15.0  # for the endpoint to begin
READY_EVERY_S = 1.0
ALLOWED_EVERY_S = 5.0
# Between two sends the reader takes so much of its source, and then pauses.
SEND_EVERY_S = 0.05
TAKEN_BYTES = 256 * KIB
TAKEN_PIECES = 2000
