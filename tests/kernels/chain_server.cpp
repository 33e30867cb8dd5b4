// The CPU's kernels as a program of its own, which may be another processor's: it answers on its
// output the calls that come on its input. All is numbers of 8 bytes and, where one says so, bytes.
//
// A call is its name and its arguments; the answer is the result, and what the arguments' buffers
// hold by then. An argument is a kind and a number, which counts what follows or is it itself.
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <string>
#include <vector>

#include "chain.cpp"

enum Kind { NUMBER, BUFFER, LIST };  // of buffers

struct Call {
  std::deque<std::vector<char>> buffers;  // none moves when another is added
  std::deque<std::vector<int64_t>> lists;

  static int64_t number() {
    int64_t n;
    if (std::fread(&n, sizeof n, 1, stdin) != 1) std::exit(0);  // nobody asks any more
    return n;
  }

  // A number, or the address of what was read.
  int64_t argument() {
    int64_t kind = number(), n = number();
    if (kind == BUFFER) {
      std::vector<char>& bytes = buffers.emplace_back(n);
      if (std::fread(bytes.data(), 1, n, stdin) != (size_t)n) std::exit(1);
      return (int64_t)bytes.data();
    }
    if (kind == LIST) {
      std::vector<int64_t>& list = lists.emplace_back(n);
      for (int64_t& part : list) part = argument();
      return (int64_t)list.data();
    }
    return n;
  }

  template <class Result, class... Types, int... I>
  void answer(Result (*function)(Types...), std::integer_sequence<int, I...>) {
    int64_t values[] = {((void)I, argument())...}, result = 0;
    if constexpr (std::is_void_v<Result>)
      function((Types)values[I]...);
    else
      result = function((Types)values[I]...);
    std::fwrite(&result, sizeof result, 1, stdout);
    for (auto& bytes : buffers) std::fwrite(bytes.data(), 1, bytes.size(), stdout);
    std::fflush(stdout);
  }
  template <class Result, class... Types>
  void answer(Result (*function)(Types...)) {
    answer(function, std::make_integer_sequence<int, sizeof...(Types)>());
  }
};

int main() {
  for (;;) {
    std::string name(Call::number(), 0);
    if (std::fread(&name[0], 1, name.size(), stdin) != name.size()) return 1;
    Call call;
    if (name == "workspace") call.answer(workspace);
    else if (name == "weights_size") call.answer(weights_size);
    else if (name == "sums_size") call.answer(sums_size);
    else if (name == "prepare_weights") call.answer(prepare_weights);
    else if (name == "train") call.answer(train);
    else if (name == "finish_gradients") call.answer(finish_gradients);
    else if (name == "predict") call.answer(predict);
    else return 1;
  }
}
