"""Products of float32 matrices in compiled code: register-blocked tiles written as LLVM vectors."""
