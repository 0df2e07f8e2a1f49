package natsrun

// sysSyncfs is the number of the system call syncfs(2). Package syscall does not have it.
const sysSyncfs = 267
