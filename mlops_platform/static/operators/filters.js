// A choice in a filter that looks things up is applied at once; an empty one leaves no parameter.
"use strict";
(function ($) {
  $(document).on("change", ".operators-filter select", function () {
    if (!this.value) {
      this.disabled = true;
    }
    this.form.submit();
  });
})(django.jQuery);
