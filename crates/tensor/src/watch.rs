//! Looking at what enters linear layers, without the layers knowing: for statistics of activations.

use std::cell::RefCell;
use std::rc::Rc;

use crate::{Param, Tensor};

/// Who is shown the weight of each linear layer and what enters it, `[rows, in]`.
pub type InputWatch = dyn Fn(&Param, &Tensor);

thread_local! {
    static WATCH: RefCell<Option<Rc<InputWatch>>> = const { RefCell::new(None) };
}

/// Runs `f`; `watch` is shown the input of every linear layer that this thread computes in it.
pub fn watch_inputs<T>(watch: Rc<InputWatch>, f: impl FnOnce() -> T) -> T {
    struct Restore(Option<Rc<InputWatch>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            WATCH.set(self.0.take());
        }
    }
    let _restore = Restore(WATCH.replace(Some(watch)));
    f()
}

/// Shows what enters a layer to whoever watches.
pub(crate) fn show_input(weight: &Param, x: &Tensor) {
    // Cloned, so that the watch itself may compute layers.
    let watch = WATCH.with_borrow(Option::clone);
    if let Some(watch) = watch {
        watch(weight, x);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{Layout, LinearWeight, linear, linear_add, linears};
    use crate::{DType, Device, Init, ParamStore, Precision};

    #[test]
    fn every_kind_of_linear_layer_shows_its_input_while_it_is_watched() {
        let device = Device::cpu(1).expect("one thread");
        let store = ParamStore::new(device.clone(), Precision::F32);
        let [a, b] = ["a", "b"].map(|name| store.add(name, [2, 3], Init::Normal(1.0)));
        store.initialise(1);
        let x = device.tensor(DType::F32, [1, 3], &[1.0, 2.0, 3.0]);
        let residual = device.tensor(DType::F32, [1, 2], &[0.0; 2]);
        let layer = |weight| LinearWeight { weight, bias: None, layout: Layout::OutIn };
        let seen = Rc::new(RefCell::new(Vec::new()));
        let notes = Rc::clone(&seen);
        let watch: Rc<InputWatch> =
            Rc::new(move |weight, x| notes.borrow_mut().push((weight.name(), x.to_vec())));
        watch_inputs(watch, || {
            linear(&x, &layer(&a)).expect("fits");
            linears(&x, &[layer(&a), layer(&b)]).expect("fits");
            linear_add(&x, &layer(&b), &residual).expect("fits");
        });
        linear(&x, &layer(&a)).expect("fits");
        let names: Vec<String> = seen.borrow().iter().map(|(name, _)| name.clone()).collect();
        assert_eq!(names, ["a", "a", "b", "b"], "and none after that");
        assert!(seen.borrow().iter().all(|(_, x)| *x == [1.0, 2.0, 3.0]));
    }
}
