/*  Two (or more) private or shared copies in one program: each part runs on its own. */
int part_a(void);
int part_b(void);
int main(void) {
    const int a = part_a();
    return a != 0 ? a : part_b();
}
